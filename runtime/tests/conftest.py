"""Tiny bundles whose answers are worked out here a second time, in numpy and sample by sample.

The networks of :data:`NETWORKS` cover the ways in which tensors pass between stages. All their
arithmetic is exact, in float16 too: images are multiples of 1/8 and scales are powers of two. The
logits of the exit at stage s (0-based) are row s of channel 0 of what it reads, so that an image's
pixels decide where it leaves.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import linecache
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import edgeexit_runtime
import numpy as np
import onnx
import pytest
from edgeexit_runtime.bundle.manifest import (
    GATE_OUTPUTS,
    IMAGES,
    MANIFEST_NAME,
    SCHEMA_VERSION,
    THRESHOLD,
    ExitEntry,
    GraphEntry,
    Manifest,
    ModelInfo,
    StageEntry,
    TensorInfo,
    manifest_json,
)
from edgeexit_runtime.gate import Predictions
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

PACKAGE = Path(edgeexit_runtime.__file__).parent
SIZE = (3, 4, 4)
POOLED = (3, 1, 1)
NUM_CLASSES = 3
DTYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that a stage writes: relu(scale * the sum of what it reads)."""

    name: str
    reads: tuple[str, ...]
    scale: float = 1.0
    dtype: str = "float32"
    shape: tuple[int, ...] = SIZE  # POOLED takes the largest value of each channel

    @property
    def info(self) -> TensorInfo:
        return TensorInfo(self.name, self.dtype, self.shape)


@dataclass(frozen=True, slots=True)
class Network:
    """Stages, each of them the tensors it writes, and per stage the tensors that its exit reads."""

    stages: tuple[tuple[Tensor, ...], ...]
    exit_reads: tuple[tuple[str, ...], ...]
    max_batch: int = 4

    @property
    def exit_names(self) -> tuple[str, ...]:
        return (*(f"exit{i}" for i in range(1, len(self.stages))), "final")


def network_of(*stages: tuple[Tensor, ...], exit_reads: tuple[tuple[str, ...], ...]) -> Network:
    return Network(stages, exit_reads)


def several_tensors(dtype: str) -> Network:
    """Stages that write two tensors of different shapes."""
    return network_of(
        (
            Tensor("wide", (IMAGES,), 2, dtype),
            Tensor("small", (IMAGES,), 0.5, dtype, POOLED),
        ),
        (
            Tensor("wider", ("wide", "small"), 0.5, dtype),
            Tensor("smaller", ("small",), 2, dtype, POOLED),
        ),
        (Tensor("last", ("wider", "smaller"), 1, dtype),),
        exit_reads=(("wide", "small"), ("wider",), ("last",)),
    )


NETWORKS = {
    "chain": network_of(
        (Tensor("first", (IMAGES,), 2),),
        (Tensor("second", ("first",), 0.5),),
        (Tensor("third", ("second",), 4),),
        exit_reads=(("first",), ("second",), ("third",)),
    ),
    "several tensors": several_tensors("float32"),
    "float16": several_tensors("float16"),
    "skipped stage": network_of(
        (Tensor("first", (IMAGES,)), Tensor("kept", (IMAGES,), 2)),
        (Tensor("second", ("first",), 2),),
        (Tensor("third", ("second", "kept"), 0.5),),
        exit_reads=(("first",), ("second",), ("third", "kept")),
    ),
    "images again": network_of(
        (Tensor("first", (IMAGES,), 0.5),),
        (Tensor("second", ("first", IMAGES)),),
        (Tensor("third", ("second",), 0.5),),
        exit_reads=(("first",), ("second",), ("third", IMAGES)),
    ),
    "one exit": network_of((Tensor("first", (IMAGES,), 2),), exit_reads=(("first",),)),
}


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """As in a terminal: nohup, and scripts in the background, start programs that ignore some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> Network:
    """Every network in turn."""
    return NETWORKS[request.param]


@pytest.fixture
def chain() -> Network:
    """Three stages with one tensor each, exits ``exit1``, ``exit2`` and ``final``."""
    return NETWORKS["chain"]


@pytest.fixture
def write_bundle(tmp_path: Path) -> Callable[[Network], Path]:
    """``write_bundle(network)`` writes its bundle and returns the folder."""

    def write(network: Network) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir()
        manifest = _manifest(network, folder)
        (folder / MANIFEST_NAME).write_text(manifest_json(manifest), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def bundle(chain: Network, write_bundle: Callable[[Network], Path]) -> Path:
    """The folder of the bundle of ``chain``."""
    return write_bundle(chain)


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict[str, Any]], object]], None]:
    """``edit_manifest(folder, change)`` writes what ``change`` makes of the manifest's JSON."""

    def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
        path = folder / MANIFEST_NAME
        value = json.loads(path.read_text(encoding="utf-8"))
        change(value)
        path.write_text(json.dumps(value), encoding="utf-8")

    return edit


@pytest.fixture
def replace_graph(
    edit_manifest: Callable[[Path, Callable[[dict[str, Any]], object]], None],
) -> Callable[[Path, str, bytes], None]:
    """``replace_graph(folder, name, content)`` gives a graph other contents, hash and all."""

    def replace(folder: Path, name: str, content: bytes) -> None:
        def change(manifest: dict[str, Any]) -> None:
            for entry in (*manifest["stages"], *manifest["exits"]):
                if entry["name"] == name:
                    entry["graph"]["sha256"] = hashlib.sha256(content).hexdigest()
                    entry["graph"]["size_bytes"] = len(content)

        (folder / f"{name}.onnx").write_bytes(content)
        edit_manifest(folder, change)

    return replace


@pytest.fixture
def random_images() -> Callable[[int, int], NDArray[np.float32]]:
    """``random_images(count, seed)``: (count, 3, 4, 4), multiples of 1/8 that are exact in FP16."""

    def draw(count: int, seed: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        return rng.integers(-16, 24, (count, *SIZE)).astype(np.float32) / 8

    return draw


@pytest.fixture
def images_leaving_at() -> Callable[[list[int]], NDArray[np.float32]]:
    """``images_leaving_at([1, 0])``: images that ``chain`` is sure of at these exits and before
    them is not; their label is the exit's index."""

    def make(exits: list[int]) -> NDArray[np.float32]:
        images = np.zeros((len(exits), *SIZE), np.float32)
        for image, index in zip(images, exits, strict=True):
            image[0, index, index % NUM_CLASSES] = 8
        return images

    return make


@pytest.fixture
def expected() -> Callable[[Network, NDArray[np.float32], Mapping[str, float]], Predictions]:
    """``expected(network, images, thresholds)``: the answers, one image after the other."""
    return _expected


@pytest.fixture
def fail_at() -> type[Failure]:
    """``with fail_at(error, step) as failure:`` raises at a line; did ``failure.has_come``?"""
    return Failure


class Failure:
    """Raises ``error`` before the ``step``-th line that the runtime runs, as a signal would.

    ``but`` names a file whose lines do not count.
    """

    def __init__(self, error: BaseException, step: int, but: str = "") -> None:
        self.error = error
        self.left = step
        self.but = but

    def __enter__(self) -> None:
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    @property
    def has_come(self) -> bool:
        return self.left < 0

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        return self._step if PACKAGE in path.parents and path.name != self.but else None

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        # at these nobody would leave the "with" around them; no signal is handled there
        if event == "line" and not line.startswith(("with ", "try:")):
            self.left -= 1
            if self.left == -1:
                raise self.error
        return self._step


def _expected(
    network: Network, images: NDArray[np.float32], thresholds: Mapping[str, float]
) -> Predictions:
    answers = Predictions.empty(len(images))
    for position, image in enumerate(images):
        tensors = {IMAGES: image}
        for index, stage in enumerate(network.stages):
            tensors |= {tensor.name: _value(tensor, tensors) for tensor in stage}
            reads = network.exit_reads[index]
            features = sum(tensors[name].astype(np.float32) for name in reads)
            logits = np.broadcast_to(features, SIZE)[0, index, :NUM_CLASSES]
            exponentials = np.exp(logits - logits.max())
            confidence = np.float32(exponentials.max() / exponentials.sum())
            threshold = thresholds.get(network.exit_names[index], 0.0)
            if confidence >= np.float32(threshold):
                answers.labels[position] = logits.argmax()
                answers.confidences[position] = confidence
                answers.exits[position] = index
                break
    return answers


def _value(tensor: Tensor, tensors: dict[str, NDArray[Any]]) -> NDArray[Any]:
    total = sum(tensors[name].astype(tensor.dtype) for name in tensor.reads)
    scaled = np.maximum(total * np.dtype(tensor.dtype).type(tensor.scale), 0)
    return scaled.max(axis=(1, 2), keepdims=True) if tensor.shape == POOLED else scaled


def _manifest(network: Network, folder: Path) -> Manifest:
    """Write the ONNX files of ``network`` and return the manifest that describes them."""
    infos = {tensor.name: tensor.info for stage in network.stages for tensor in stage}
    infos[IMAGES] = TensorInfo(IMAGES, "float32", SIZE)
    stages, exits = [], []
    for index, tensors in enumerate(network.stages):
        reads = dict.fromkeys(name for tensor in tensors for name in tensor.reads)
        inputs = tuple(infos[name] for name in reads)
        outputs = tuple(tensor.info for tensor in tensors)
        nodes = [node for tensor in tensors for node in _stage_nodes(tensor)]
        stage = f"stage{index + 1}"
        graph = _write_graph(folder, stage, nodes, inputs, outputs)
        stages.append(StageEntry(stage, 1000, graph))
        name = network.exit_names[index]
        inputs = tuple(infos[name] for name in network.exit_reads[index])
        graph = _write_graph(folder, name, _exit_nodes(network, index), inputs, _gate_outputs())
        threshold = 0.0 if name == "final" else 0.6
        backbone_macs = 1000 * (index + 1)
        path_macs = backbone_macs + 10 * (index + 1)
        exits.append(ExitEntry(name, stage, threshold, backbone_macs, 10, path_macs, graph))
    return Manifest(
        schema_version=SCHEMA_VERSION,
        model=ModelInfo("tiny", "none", NUM_CLASSES),
        precision="fp32",
        opset=13,
        max_batch=network.max_batch,
        preprocessing=Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.25, 0.5, 1.0)),
        class_names=("zero", "one", "two"),
        stages=tuple(stages),
        exits=tuple(exits),
        baseline=_baseline(network, folder, exits[-1]),
    )


def _baseline(network: Network, folder: Path, final: ExitEntry) -> ExitEntry:
    nodes = [node for stage in network.stages for t in stage for node in _stage_nodes(t)]
    nodes += _exit_nodes(network, len(network.stages) - 1)
    images = (TensorInfo(IMAGES, "float32", SIZE),)
    graph = _write_graph(folder, "baseline", nodes, images, _gate_outputs())
    return dataclasses.replace(final, name="baseline", stage=None, graph=graph)


def _gate_outputs() -> tuple[TensorInfo, ...]:
    dtypes = ("float32", "float32", "int32", "bool")
    shapes = ((NUM_CLASSES,), (), (), ())
    return tuple(TensorInfo(*fields) for fields in zip(GATE_OUTPUTS, dtypes, shapes, strict=True))


def _stage_nodes(tensor: Tensor) -> list[onnx.NodeProto]:
    name = tensor.name
    nodes = [
        *_sum_nodes(name, tensor.reads, tensor.dtype),
        _constant(f"{name}_scale", np.array(tensor.scale, tensor.dtype)),
        helper.make_node("Mul", [f"{name}_sum", f"{name}_scale"], [f"{name}_scaled"]),
    ]
    if tensor.shape == SIZE:
        return [*nodes, helper.make_node("Relu", [f"{name}_scaled"], [name])]
    return [
        *nodes,
        helper.make_node("Relu", [f"{name}_scaled"], [f"{name}_relu"]),
        helper.make_node("ReduceMax", [f"{name}_relu"], [name], axes=[2, 3], keepdims=1),
    ]


def _exit_nodes(network: Network, index: int) -> list[onnx.NodeProto]:
    columns = np.zeros((*SIZE, NUM_CLASSES), np.float32)
    columns[0, index, :NUM_CLASSES] = np.eye(NUM_CLASSES)
    return [
        *_sum_nodes("features", network.exit_reads[index], "float32"),
        _constant("weights", columns.reshape(-1, NUM_CLASSES)),
        helper.make_node("Flatten", ["features_sum"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["probabilities"], ["confidence"], axes=[1], keepdims=0),
        helper.make_node("ArgMax", ["logits"], ["label64"], axis=1, keepdims=0),
        helper.make_node("Cast", ["label64"], ["label"], to=TensorProto.INT32),
        helper.make_node("GreaterOrEqual", ["confidence", THRESHOLD], ["exits"]),
    ]


def _sum_nodes(name: str, reads: tuple[str, ...], dtype: str) -> list[onnx.NodeProto]:
    """``{name}_sum`` = the sum of ``reads``, cast to ``dtype``."""
    casts = [f"{name}_{read}_cast" for read in reads]
    return [
        *(
            helper.make_node("Cast", [read], [cast], to=DTYPES[dtype])
            for read, cast in zip(reads, casts, strict=True)
        ),
        helper.make_node("Sum", casts, [f"{name}_sum"]),
    ]


def _constant(name: str, value: NDArray[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


def _write_graph(
    folder: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: tuple[TensorInfo, ...],
    outputs: tuple[TensorInfo, ...],
) -> GraphEntry:
    graph_inputs = [_value_info(tensor) for tensor in inputs]
    if [tensor.name for tensor in outputs] == list(GATE_OUTPUTS):
        graph_inputs.append(helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1]))
    graph = helper.make_graph(nodes, name, graph_inputs, [_value_info(t) for t in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return GraphEntry(path.name, digest, len(content), inputs, outputs)


def _value_info(tensor: TensorInfo) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, element, ["batch", *tensor.shape])
