"""Any ONNX classifier -> a bundle with one exit, so that the same runtime runs it.

Its graph is unchanged; softmax and gate are appended, as for the plain backbone of every bundle.
It runs with bound buffers and the same providers and threads.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import onnx
from edgeexit_runtime.bundle.manifest import (
    GATE_DTYPES,
    GATE_OUTPUTS,
    IMAGES,
    MANIFEST_NAME,
    ExitEntry,
    GraphEntry,
    Manifest,
    ModelInfo,
    TensorInfo,
    manifest_json,
)
from edgeexit_runtime.errors import printable
from onnx import TensorProto, compose, helper

from edgeexit.errors import DataError, InputError
from edgeexit.export.from_onnx.file import (
    are_logits,
    described,
    images_input,
    precision_of,
    read_model,
    sizes,
)
from edgeexit.export.graphs.gate import add_gate

PREFIX = "model/"  # of all names in the file, to avoid clashes with the gate's


def write_static_bundle(file: Path, manifest: Manifest, folder: Path) -> None:
    """Write a bundle that computes the same as an ONNX file.

    Args:
        file: one input, images float32 (N, C, H, W) of the bundle's size and normalized as the
            bundle's manifest specifies; one output, logits float32 (N, K) of the bundle's K
            classes in the same order. N is dynamic or 1.
        manifest: of the bundle that it is compared with.
        folder: an empty folder.

    Raises:
        DataError: not an ONNX model, or without exactly one such input and one such output.
        InputError: its input size or number of classes is not the bundle's.
    """
    model = read_model(file)
    images, shape = images_input(file, model)
    size = manifest.preprocessing.input_size
    if any(got not in (None, expected) for got, expected in zip(shape[1:], size, strict=True)):
        raise InputError(
            f"{file}: expected images of the bundle's {size}, got {shape[1:]}; both must take the "
            "same images"
        )
    logits = _logits(file, model, manifest)
    content = _with_gate(model, images.name, logits.name, manifest).SerializeToString()
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.onnx", file.name)
    name = file.name if plain else "m.onnx"
    (folder / name).write_bytes(content)
    info = TensorInfo(IMAGES, "float32", size)
    shapes = ((manifest.model.num_classes,), (), (), ())
    graph = GraphEntry(
        name,
        hashlib.sha256(content).hexdigest(),
        len(content),
        (info,),
        tuple(map(TensorInfo, GATE_OUTPUTS, GATE_DTYPES, shapes)),
    )
    static = dataclasses.replace(
        manifest,
        model=ModelInfo(printable(file.stem), "none", manifest.model.num_classes),
        precision=precision_of(model),
        max_batch=manifest.max_batch if shape[0] is None else 1,
        stages=(),
        exits=(ExitEntry("final", None, 0.0, 0, 0, 0, graph),),
        baseline=None,
        data={},
        verification={},
        versions={},
        engines=(),
        quantization=None,
        guarantee=None,
        expected=None,
    )
    (folder / MANIFEST_NAME).write_text(manifest_json(static), encoding="utf-8")


def _logits(file: Path, model: onnx.ModelProto, manifest: Manifest) -> onnx.ValueInfoProto:
    """Return the single output, checked against the bundle's classes."""
    outputs: list[onnx.ValueInfoProto] = list(model.graph.output)
    if len(outputs) != 1:
        names = ", ".join(value.name for value in outputs) or "none"
        raise DataError(f"{file}: expected one output, got {names}")
    (logits,) = outputs
    if not are_logits(logits):
        raise DataError(
            f"{file}: {logits.name}: expected logits float32 (N, K), got {described(logits)}"
        )
    if sizes(logits)[1] not in (None, manifest.model.num_classes):
        raise InputError(
            f"{file}: expected the bundle's {manifest.model.num_classes} classes, got "
            f"{sizes(logits)[1]}; compare networks of the same data set"
        )
    return logits


def _with_gate(
    model: onnx.ModelProto, images: str, logits: str, manifest: Manifest
) -> onnx.ModelProto:
    """Return the model with the inputs and outputs of a bundle's exit."""
    model = compose.add_prefix(model, PREFIX)
    graph = model.graph
    graph.node.insert(0, helper.make_node("Identity", [IMAGES], [PREFIX + images]))
    kept = [value for value in graph.input if value.name != PREFIX + images]
    del graph.input[:]
    size = manifest.preprocessing.input_size
    images_info = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", *size])
    graph.input.extend([images_info, *kept])  # kept: old models list weights among the inputs
    add_gate(model, PREFIX + logits, manifest.model.num_classes, manifest.score)
    return model
