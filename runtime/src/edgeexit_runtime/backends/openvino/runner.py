"""OpenVINO: graphs bound once to host memory, with one inference request per batch size.

Every tensor has a fixed address in one block of memory: see
:mod:`edgeexit_runtime.backends.buffer_plan`. When samples leave, the rows of the others move up. A
request is bound when its batch size first occurs; from then on a run is only its ``infer``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import BareGraphs, Hardware, Runner
from edgeexit_runtime.backends.buffer_plan import ALIGNMENT_BYTES, plan_buffers, row_moves
from edgeexit_runtime.backends.openvino.backend import CPU
from edgeexit_runtime.backends.openvino.compiler import (
    ModelCompiler,
    first_line,
    layer_precisions,
    ports,
    threshold_of,
    wants_half,
)
from edgeexit_runtime.backends.openvino.library import openvino
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import IMAGES, THRESHOLD, GraphEntry, Manifest, TensorInfo
from edgeexit_runtime.errors import BackendError, InputError
from edgeexit_runtime.gate import GateOutputs

NO_GATE = GateOutputs(np.empty(0, np.bool_), np.empty(0, np.int32), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Bound:
    """A request bound for one batch size, and the arrays of its gate's outputs."""

    infer: Callable[..., object]
    gate: GateOutputs


@dataclass(slots=True)
class Part:
    """A compiled graph, its tensors for ``max_batch`` samples, and its requests by batch size."""

    name: str
    model: Any
    entry: GraphEntry
    gated: bool
    arrays: dict[str, NDArray[Any]]
    bound: dict[int, Bound] = field(default_factory=dict)

    def bind(self, count: int) -> Bound:
        """Create a request on the first ``count`` rows of the tensors."""
        request = self.model.create_infer_request()
        inputs = ports((*self.entry.inputs, *threshold_of(self.gated)), self.model.inputs)
        outputs = ports(self.entry.outputs, self.model.outputs)
        for name, port in (*inputs.items(), *outputs.items()):
            rows = self.arrays[name] if name == THRESHOLD else self.arrays[name][:count]
            request.set_tensor(port, openvino.Tensor(rows, shared_memory=True))
        if not self.gated:
            return Bound(request.infer, NO_GATE)
        views = (self.arrays[name][:count] for name in ("exits", "label", "confidence"))
        return Bound(request.infer, GateOutputs(*views))


class OpenVinoRunner(Runner):
    """Runs a bundle's ONNX files.

    Args:
        bundle: the bundle; every file is checked while it is read.
        device: OpenVINO's name of the device.
        threads: threads per graph on the CPU; None leaves it to OpenVINO.

    Raises:
        BackendError: there is no such device, or too little memory.
        BundleError: a file is missing, changed, or not what the manifest says.
    """

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        manifest = bundle.manifest
        self._max_batch = manifest.max_batch
        int8 = manifest.quantization
        self._compiler = ModelCompiler(
            device,
            threads,
            half=wants_half(manifest),
            may_saturate=int8 is not None and int8.needs_vnni,
        )
        if not self._compiler.sums_exactly:
            self.int8_instead = "layers are computed in floating point"
        self._read_later = plan_buffers(manifest).read_later
        self._tensors = _allocate(manifest)
        self._images = self._tensors[IMAGES]
        self._parts = {name: self._open(name, entry, bundle) for name, entry in manifest.graphs()}
        self._count = 0
        self._last_counts: dict[str, int] = {}
        for exit_ in manifest.exits:
            self.set_threshold(exit_.name, exit_.threshold)
        self.device = f"OpenVINO {device}"
        self.threads = threads if device == CPU else None
        self.hardware = Hardware(name="" if device == CPU else self._compiler.device_name)
        self.versions = {"openvino": openvino.get_version().partition("-")[0]}

    def set_images(self, images: NDArray[np.float32]) -> None:
        count = len(images)
        if count > self._max_batch:
            raise InputError(f"images: expected at most {self._max_batch} at once, got {count}")
        np.copyto(self._images[:count], images)  # binding a new tensor takes as long
        self._count = count

    def run_stage(self, name: str) -> None:
        self._run(self._parts[name])

    def run_exit(self, name: str) -> GateOutputs:
        part = self._parts[name]
        gate = self._run(part).gate
        self._last_counts[name] = self._count
        finite = np.isfinite(part.arrays["logits"][: self._count])
        if not finite.all():
            gate.confidences[~finite.all(axis=1)] = np.nan  # OpenVINO's maximum may skip NaN
        return gate

    def logits(self, name: str) -> NDArray[np.float32]:
        return np.array(self._parts[name].arrays["logits"][: self._last_counts[name]])

    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        moves = list(row_moves(rows))
        for tensor in self._read_later[name]:
            array = self._tensors[tensor]
            for to, source, count in moves:
                array[to : to + count] = array[source : source + count]
        self._count = len(rows)

    def set_threshold(self, name: str, threshold: float) -> None:
        self._parts[name].arrays[THRESHOLD][0] = threshold

    def computed_in(self) -> str:
        return layer_precisions(part.model for part in self._parts.values())

    def bare_graphs(self) -> BareGraphs:
        return OpenVinoGraphs(self.device, self._compiler)

    def close(self) -> None:
        self._parts.clear()
        self._tensors.clear()

    def _run(self, part: Part) -> Bound:
        try:
            bound = part.bound.get(self._count)
            if bound is None:
                bound = part.bound[self._count] = part.bind(self._count)
            bound.infer(share_inputs=True, share_outputs=True)  # else outputs are copied
        except Exception as error:  # mostly RuntimeError
            raise BackendError(
                f"{part.name}: openvino failed over a batch of {self._count} "
                f"({first_line(error)}); infer fewer at once if memory is short, else export the "
                "bundle again"
            ) from error
        return bound

    def _open(self, name: str, entry: GraphEntry, bundle: Bundle) -> Part:
        manifest = bundle.manifest
        gated = name in manifest.exit_names
        size = self._max_batch
        model = self._compiler.compile(entry, bundle.read(entry), gated=gated, max_batch=size)
        if not gated:
            return Part(name, model, entry, gated, self._tensors)
        outputs = {info.name: np.zeros((size, *info.shape), info.dtype) for info in entry.outputs}
        arrays = {**self._tensors, **outputs, THRESHOLD: np.zeros(1, np.float32)}
        return Part(name, model, entry, gated, arrays)


class OpenVinoGraphs(BareGraphs):
    """Compiles graphs like a bundle's, bound to host memory."""

    def __init__(self, device: str, compiler: ModelCompiler) -> None:
        self.device = device
        self._compiler = compiler

    def bind(
        self, entry: GraphEntry, content: bytes, inputs: Mapping[str, NDArray[Any]]
    ) -> Callable[[], object]:
        count = len(next(iter(inputs.values())))
        model = self._compiler.compile(entry, content, gated=False, max_batch=count)
        outputs = {info.name: np.zeros((count, *info.shape), info.dtype) for info in entry.outputs}
        part = Part(entry.file, model, entry, False, {**inputs, **outputs})
        bound = part.bind(count)

        def call() -> object:
            # "part" keeps the arrays alive, which a request does not
            return bound.infer(share_inputs=True, share_outputs=True), part

        return call


def _allocate(manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Return the images and all tensors between graphs, in one block of memory.

    The system allocates only pages that are touched, so smaller batches cost less.

    Raises:
        BackendError: there is too little memory.
    """
    plan, size = plan_buffers(manifest), manifest.max_batch
    try:
        memory = np.empty(plan.size_bytes + ALIGNMENT_BYTES, np.uint8)
    except MemoryError as error:
        raise BackendError(
            f"the features of {size} images, {plan.size_bytes} bytes, do not fit into memory; "
            "free some, or export with a smaller --max-batch"
        ) from error
    start = -memory.ctypes.data % ALIGNMENT_BYTES
    infos = {IMAGES: TensorInfo(IMAGES, "float32", manifest.preprocessing.input_size)}
    for stage in manifest.stages:
        infos |= {info.name: info for info in stage.graph.outputs}
    arrays = {}
    for name, info in infos.items():
        first = start + plan.offsets[name]
        piece = memory[first : first + size * plan.row_bytes[name]]
        arrays[name] = piece.view(info.dtype).reshape(size, *info.shape)
    return arrays
