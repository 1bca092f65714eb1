"""``manifest.json``: the contents of a bundle and how its files fit together.

This module alone owns the schema: the exporter writes these dataclasses, the runtime reads them,
and nothing in the file is trusted before it is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeexit_runtime.bundle.engine_entry import EngineEntry
from edgeexit_runtime.bundle.expected_entry import Expected
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry
from edgeexit_runtime.bundle.schema import (
    SchemaError,
    check_choice,
    check_keys,
    check_model_file,
    check_name,
    check_range,
    check_text,
    decode,
    encode,
)
from edgeexit_runtime.errors import BundleError
from edgeexit_runtime.gate import NEVER, saved_costs
from edgeexit_runtime.images.preprocess import Preprocessing
from edgeexit_runtime.system.untrusted import file_size, parse_json

SCHEMA_VERSION = 1
MANIFEST_NAME = "manifest.json"
MANIFEST_MAX_BYTES = 16 * 2**20

IMAGES = "images"
THRESHOLD = "threshold"
FINAL = "final"
GATE_OUTPUTS = ("logits", "confidence", "label", "exits")
INT8 = "int8"
PRECISIONS = ("fp32", "fp16", INT8)
SOFTMAX = "softmax"
GATE_DTYPES = ("float32", "float32", "int32", "bool")
"""Outputs of every exit's graph, see :func:`gate_tensors`."""

UINT8 = "uint8"
DTYPES = ("float32", "float16", "int32", "int64", UINT8, "bool")
MAX_RANK, MAX_VALUES = 8, 2**31 - 1
"""Limits of one sample of a tensor."""
MAX_BATCH = 2**31 - 1  # Triton's field has 32 bits


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A named tensor of a graph; ``shape`` omits the batch dimension, which is dynamic."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check_choice("dtype", self.dtype, DTYPES)
        if any(size < 1 for size in self.shape):
            raise ValueError(f"shape: expected sizes above 0, got {self.shape}")
        if len(self.shape) > MAX_RANK or math.prod(self.shape) > MAX_VALUES:
            raise ValueError(
                f"shape: expected at most {MAX_RANK} sizes and {MAX_VALUES} values, got "
                f"{self.shape}"
            )


def gate_tensors(num_classes: int) -> tuple[TensorInfo, ...]:
    """Return an exit's outputs: float32 (N, K), float32 (N,), int32 (N,) and bool (N,)."""
    shapes = ((num_classes,), (), (), ())
    return tuple(map(TensorInfo, GATE_OUTPUTS, GATE_DTYPES, shapes))


@dataclass(frozen=True, slots=True)
class GraphEntry:
    """One ONNX file. An exit's threshold input, float32 (1,), is not among ``inputs``."""

    file: str
    sha256: str
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def __post_init__(self) -> None:
        check_model_file(self.file, self.size_bytes)


@dataclass(frozen=True, slots=True)
class StageEntry:
    """A stage of the backbone; ``macs`` is its own cost per sample."""

    name: str
    macs: int
    graph: GraphEntry

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True, slots=True)
class ExitEntry:
    """An exit: its classifier with softmax and gate, behind ``stage``.

    ``stage`` is None for the plain backbone alone, whose one graph reads the images. Costs are
    multiply-accumulates per sample: B_m up to here, the branch's own, and the path cost of Eq. 5 if
    the branches of all earlier exits are run. The graph divides its logits by ``temperature``.
    """

    name: str
    stage: str | None
    threshold: float
    backbone_macs: int
    branch_macs: int
    path_macs: int
    graph: GraphEntry
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_name(self.name)
        check_range("threshold", self.threshold, 0, NEVER)

    @property
    def macs(self) -> int:
        """f_m: the backbone up to here plus this classifier, without other branches."""
        return self.backbone_macs + self.branch_macs


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The network that the bundle was made from."""

    backbone: str
    branches: str
    num_classes: int

    def __post_init__(self) -> None:
        check_text("backbone, branches", self.backbone, self.branches)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's description; see the attributes of the entries for the units.

    Each stage has one exit behind it; a network without early exits has one stage.

    Attributes:
        schema_version: the version of this schema.
        precision: ``fp32`` or ``fp16``, of the features and weights; images are float32 inputs.
            ``int8`` if Q/DQ nodes round most of them: features between graphs are then uint8 if
            ``quantization.features`` has their scale, else float.
        max_batch: the largest number of samples in one run of a graph.
        stages, exits: in the order of execution, ``final`` last.
        baseline: the plain backbone as one graph, to compare with; None if omitted.
        data: the data set that the network was trained on, from its checkpoint.
        verification: how closely the files agreed with the network when they were written.
        versions: of the software that wrote the bundle.
        engines: TensorRT engines that were built from the graphs, at most one of each.
        quantization: of an INT8 bundle alone: what is in 8 bits and how its ranges were found.
        guarantee: a guarantee for thresholds, which may have been changed since.
        expected: where images leave at thresholds, which may have been changed since.
        score: the name, chosen by the exporter, of what the graphs return as confidences; the
            runtime accepts any values from 0 to 1.
    """

    schema_version: int
    model: ModelInfo
    precision: str
    opset: int
    max_batch: int
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    stages: tuple[StageEntry, ...]
    exits: tuple[ExitEntry, ...]
    baseline: ExitEntry | None = None
    data: dict[str, Any] = field(default_factory=dict)
    verification: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    engines: tuple[EngineEntry, ...] = ()
    quantization: QuantizationEntry | None = None
    guarantee: Guarantee | None = None
    expected: Expected | None = None
    score: str = SOFTMAX

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_range("max_batch", self.max_batch, 1, MAX_BATCH)
        check_text("versions", *self.versions, *self.versions.values())
        check_name(self.score, "score")
        _check_names(self)
        _check_flow(self)
        _check_exits(self)
        _check_engines(self)
        _check_rounded(self)
        if self.guarantee is not None:
            check_keys("guarantee.thresholds", self.guarantee.thresholds, self.exit_names[:-1])
        if self.expected is not None:
            check_keys("expected.thresholds", self.expected.thresholds, self.exit_names[:-1])
            check_keys("expected.histograms", self.expected.histograms, self.exit_names)

    @property
    def exit_names(self) -> tuple[str, ...]:
        """Names of all exits in order; the last one always answers."""
        return tuple(exit_.name for exit_ in self.exits)

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of every exit but the last."""
        return {exit_.name: exit_.threshold for exit_ in self.exits[:-1]}

    @property
    def paid_macs(self) -> dict[str, int]:
        """MACs spent on a sample that leaves at each exit: Eq. 5 at these thresholds.

        It is each exit's ``path_macs`` without the branches of exits that are switched off.
        """
        saved = saved_costs({e.name: e.branch_macs for e in self.exits}, self.thresholds)
        return {exit_.name: exit_.path_macs - saved[exit_.name] for exit_ in self.exits}

    def graphs(self) -> Iterator[tuple[str, GraphEntry]]:
        """Yield the name and graph of every stage and exit in the order of execution."""
        stages = {stage.name: stage for stage in self.stages}
        for exit_ in self.exits:
            if exit_.stage is not None:
                yield exit_.stage, stages[exit_.stage].graph
            yield exit_.name, exit_.graph

    def all_graphs(self) -> dict[str, GraphEntry]:
        """Every graph by name: those of :meth:`graphs`, and the plain backbone last."""
        graphs = dict(self.graphs())
        if self.baseline is not None:
            graphs[self.baseline.name] = self.baseline.graph
        return graphs

    def files(self) -> set[str]:
        """Names of the ONNX and engine files of the bundle."""
        onnx = {graph.file for graph in self.all_graphs().values()}
        return onnx | {engine.file for engine in self.engines}


def manifest_json(manifest: Manifest) -> str:
    """Return the text of ``manifest.json``."""
    return json.dumps(encode(manifest), indent=2, allow_nan=False) + "\n"


def load_manifest(folder: str | Path) -> Manifest:
    """Read and check the manifest of the bundle in ``folder``.

    Raises:
        BundleError: there is no bundle, or its manifest is broken, foreign, or newer.
    """
    path = Path(folder) / MANIFEST_NAME
    value = _read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if not isinstance(version, int) or version < 1:
        raise BundleError(
            f"{path}: not the manifest of an edgeexit bundle (schema_version {version!r})"
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: made by a newer edgeexit (schema {version}, this reads {SCHEMA_VERSION}); "
            "upgrade edgeexit-runtime"
        )
    try:
        return decode(Manifest, value)
    except SchemaError as error:
        raise BundleError(f"{path}: {error}; export the bundle again") from error


def _read_json(path: Path) -> Any:
    size_bytes = file_size(path)
    if size_bytes is None:
        if file_size(path.parent) is not None:
            raise BundleError(
                f"{path.parent}: is a file; expected the folder that 'edgeexit export' wrote"
            )
        raise BundleError(f"{path}: no such file; expected the folder that 'edgeexit export' wrote")
    if size_bytes > MANIFEST_MAX_BYTES:
        raise BundleError(f"{path}: larger than {MANIFEST_MAX_BYTES} bytes, not a manifest")
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON ({error}); export the bundle again") from error


def _check_names(manifest: Manifest) -> None:
    names = [stage.name for stage in manifest.stages] + list(manifest.exit_names)
    if len(set(names)) != len(names):
        raise ValueError(f"stages and exits: expected different names, got {', '.join(names)}")
    # the plain backbone alone has no stages and one exit
    stages = tuple(stage.name for stage in manifest.stages) or (None,)
    if tuple(exit_.stage for exit_ in manifest.exits) != stages:
        raise ValueError("exits: expected one behind each stage, in the order of the stages")
    if len(manifest.class_names) != manifest.model.num_classes:
        raise ValueError(
            f"class_names: expected {manifest.model.num_classes}, got {len(manifest.class_names)}"
        )
    if manifest.quantization is not None and manifest.precision != INT8:
        raise ValueError(f"quantization: expected null in {manifest.precision}, it is for {INT8}")


def _check_flow(manifest: Manifest) -> None:
    """Check that every tensor a graph reads is written once, by an earlier stage, as read."""
    images = TensorInfo(IMAGES, "float32", manifest.preprocessing.input_size)
    written = {IMAGES: images}
    stages = {stage.name for stage in manifest.stages}
    for name, graph in manifest.graphs():
        for tensor in graph.inputs:
            if written.get(tensor.name) != tensor:
                raise ValueError(
                    f"{name}: its input {tensor.name} {tensor.dtype} {tensor.shape} is written by "
                    "no stage before it"
                )
        if name not in stages:
            continue
        for tensor in graph.outputs:
            if tensor.name in (*written, THRESHOLD):
                raise ValueError(f"{name}: its output {tensor.name} is the name of another tensor")
            written[tensor.name] = tensor


def _check_exits(manifest: Manifest) -> None:
    """Check that every exit has the gate's outputs and the plain backbone reads only images."""
    images = TensorInfo(IMAGES, "float32", manifest.preprocessing.input_size)
    baseline = manifest.baseline
    if baseline is not None and (baseline.stage, baseline.graph.inputs) != (None, (images,)):
        raise ValueError("baseline: expected no stage and the images as its one input")
    expected = gate_tensors(manifest.model.num_classes)
    for exit_ in (*manifest.exits, *([baseline] if baseline is not None else [])):
        if exit_.graph.outputs != expected:
            shown = ", ".join(f"{tensor.name} {tensor.dtype} {tensor.shape}" for tensor in expected)
            raise ValueError(f"{exit_.name}: expected the outputs {shown}")


def _check_engines(manifest: Manifest) -> None:
    """Check that every engine was built from a graph of this bundle."""
    graphs = manifest.all_graphs()
    names = [engine.graph for engine in manifest.engines]
    for name in names:
        if name not in graphs:
            raise ValueError(f"engines: expected graphs of this bundle, got {name!r}")
    files = {engine.file for engine in manifest.engines}
    if len(set(names)) != len(names) or len(files) != len(names):
        raise ValueError(f"engines: expected one for each graph, got {', '.join(names)}")


def _check_rounded(manifest: Manifest) -> None:
    """Check that ``quantization.features`` lists exactly the features that are uint8."""
    entry = manifest.quantization
    listed = set(entry.features) if entry is not None else set()
    written = {
        tensor.name
        for stage in manifest.stages
        for tensor in stage.graph.outputs
        if tensor.dtype == UINT8
    }
    # the plain backbone as its own bundle has no stages, but keeps the full bundle's entry
    unlike = sorted(written ^ listed) if manifest.stages else []
    if unlike:
        raise ValueError(
            f"quantization.features: expected all features of {UINT8} and no others, got "
            f"{', '.join(sorted(listed)) or 'none'}; {unlike[0]} is wrong"
        )
