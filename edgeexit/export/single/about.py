"""The description of a single file: JSON values in its metadata, where Netron shows them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.manifest import IMAGES, PRECISIONS, SOFTMAX, Manifest, ModelInfo
from edgeexit_runtime.bundle.quantization_entry import ALL, CPU, QuantizationEntry
from edgeexit_runtime.bundle.schema import check_name, check_text, decode, encode
from edgeexit_runtime.images.preprocess import Preprocessing
from edgeexit_runtime.system.untrusted import parse_json
from onnx import helper

from edgeexit.errors import DataError
from edgeexit.export.from_onnx.file import read_model, sizes
from edgeexit.export.single.nested import OUTPUTS, THRESHOLDS, exits_that_are_on

FORMAT = 1
PREFIX = "edgeexit."  # of the metadata's keys


@dataclass(frozen=True, slots=True)
class SingleFile:
    """A single file's description; its fields are those of a bundle's manifest.

    Attributes:
        format: the version of this description.
        exits: names of all exits of the bundle in order; the output ``exits`` indexes them.
        thresholds: the bundle's thresholds of the exits that are on, in the order of the input.
    """

    format: int
    model: ModelInfo
    precision: str
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    exits: tuple[str, ...]
    thresholds: dict[str, float]
    data: dict[str, Any]
    versions: dict[str, str]
    quantization: QuantizationEntry | None = None
    guarantee: Guarantee | None = None
    score: str = SOFTMAX

    def __post_init__(self) -> None:
        for name in (*self.exits, *self.thresholds):
            check_name(name)
        check_name(self.score, "score")
        check_text("versions", *self.versions, *self.versions.values())
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        if not set(self.thresholds) <= set(self.exits[:-1]):
            raise ValueError("thresholds: expected only exits before the last")
        if len(self.class_names) != self.model.num_classes:
            raise ValueError("class_names: expected one for each class")

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about engines that compute more than the images need, or round differently."""
        lines = []
        if self.thresholds:
            lines.append(
                "TensorRT: some versions compute both sides of every If, so that no time is saved "
                "(NVIDIA/TensorRT issue 4402): measure there, or build the bundle's parts with "
                "'edgeexit build'"
            )
        if self.thresholds and self.precision == "fp16":
            lines.append(
                "CPUs: ONNX Runtime converts the weights behind the first exit to FP32 on every "
                "call; for CPUs pack an FP32 bundle"
            )
        if has_half_scales(self.quantization):
            lines.append(
                "CPUs: ONNX Runtime rounds biases coarsely beside scales in FP16: open the file "
                "with disabled_optimizers=['WeightBiasQuantization']"
            )
        if wants_vnni(self.quantization):
            lines.append(
                "x86 CPUs without VNNI: ONNX Runtime's sums of 8 bits saturate there without any "
                "error: open the file with its option session.x64quantprecision set to 1, or "
                "export with --target cpu-7bit"
            )
        return tuple(lines)


def has_half_scales(entry: QuantizationEntry | None) -> bool:
    """Whether Q/DQ nodes have scales in FP16; biases beside these must not be rounded."""
    return entry is not None and (entry.extent, entry.fallback) == (ALL, "fp16")


def is_for_cpus(entry: QuantizationEntry | None) -> bool:
    """Whether a bundle is quantized for CPUs alone."""
    return entry is not None and (entry.target is None or entry.target.engine == CPU)


def wants_vnni(entry: QuantizationEntry | None) -> bool:
    """Whether a bundle is quantized for CPUs, and its sums saturate on x86 without VNNI."""
    return entry is not None and entry.needs_vnni and is_for_cpus(entry)


def describe(manifest: Manifest) -> SingleFile:
    """Return the description of a bundle's single file."""
    guarantee = manifest.guarantee
    held = guarantee is not None and guarantee.holds_for(manifest.thresholds)
    return SingleFile(
        FORMAT,
        manifest.model,
        manifest.precision,
        manifest.preprocessing,
        manifest.class_names,
        manifest.exit_names,
        {name: manifest.thresholds[name] for name in exits_that_are_on(manifest)},
        manifest.data,
        manifest.versions,
        manifest.quantization,
        guarantee if held else None,
        manifest.score,
    )


def write_metadata(model: onnx.ModelProto, about: SingleFile) -> None:
    """Write a description into a model's metadata."""
    values = encode(about)
    helper.set_model_props(
        model, {f"{PREFIX}{name}": json.dumps(value) for name, value in values.items()}
    )


def read_single_file(file: Path) -> SingleFile:
    """Return the description of a single file, checked against its inputs and outputs.

    Raises:
        DataError: it is not an ONNX model, was not packed from a bundle, was packed by a newer
            edgeexit, or was changed since.
    """
    model = read_model(file)
    entries = {
        entry.key.removeprefix(PREFIX): entry.value
        for entry in model.metadata_props
        if entry.key.startswith(PREFIX)
    }
    if not entries:
        raise DataError(
            f"{file}: an ONNX model that 'edgeexit pack' has not written; 'edgeexit split' makes a "
            "bundle from a classifier with exits, 'edgeexit bench --versus' measures any"
        )
    try:
        values = {name: parse_json(text) for name, text in entries.items()}
        if isinstance(values.get("format"), int) and values["format"] > FORMAT:
            raise DataError(
                f"{file}: packed by a newer edgeexit (format {values['format']}, this reads "
                f"{FORMAT}); upgrade edgeexit"
            )
        about = decode(SingleFile, values)
        _check_tensors(model.graph, about)
    except ValueError as error:  # a SchemaError too
        raise DataError(f"{file}: {PREFIX}{error}; pack it again") from error
    return about


def _check_tensors(graph: onnx.GraphProto, about: SingleFile) -> None:
    """Check that a graph has the inputs and outputs of its description."""
    inputs = {value.name: sizes(value) for value in graph.input}
    expected: dict[str, tuple[int | None, ...]]
    expected = {IMAGES: (None, *about.preprocessing.input_size)}
    if about.thresholds:
        expected[THRESHOLDS] = (len(about.thresholds),)
    if inputs != expected:
        raise ValueError(f"thresholds: expected the inputs {expected}, got {inputs}")
    outputs = tuple(value.name for value in graph.output)
    if outputs != OUTPUTS:
        raise ValueError(f"exits: expected the outputs {OUTPUTS}, got {outputs}")
