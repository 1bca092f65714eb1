"""A user's ONNX file -> a classifier with named logits, checked and ready to be cut."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter
import onnxsim
from edgeexit_runtime.errors import printable
from onnx import TensorProto, compose

from edgeexit.errors import DataError, InputError
from edgeexit.export.from_onnx.file import (
    SHOWN,
    are_logits,
    described,
    images_input,
    precision_of,
    read_model,
    sizes,
)
from edgeexit.export.graphs.parts import first_line
from edgeexit.export.graphs.view import GraphView
from edgeexit.export.writing import OPSETS

AUTO = "auto"
PREFIX = "model/"  # of all names in the file, which could otherwise clash with a bundle's
ROWS = (1, -1)


@dataclass(frozen=True, slots=True, eq=False)
class OnnxClassifier:
    """A classifier with several exits.

    Attributes:
        file: the ONNX file.
        model: the file's model, simplified, with all names prefixed, in an opset for bundles.
        original: the file's model unchanged, to compare with.
        images: the input of images in both models, without the prefix.
        input_size: ``(channels, height, width)``.
        batch: the fixed batch size; None where it is dynamic.
        names: the chosen outputs, in the order of execution.
        logits: the tensors of their logits in both models, without the prefix; for an output that
            ends in a softmax, the softmax's input.
        notes: remarks for the user.
    """

    file: Path
    model: onnx.ModelProto
    original: onnx.ModelProto
    images: str
    input_size: tuple[int, int, int]
    batch: int | None
    names: tuple[str, ...]
    logits: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


def read_classifier(
    file: Path,
    outputs: Sequence[str] | str,
    input_size: tuple[int, int, int] | None,
    least_opset: int,
) -> OnnxClassifier:
    """Read an ONNX file and check its inputs and outputs.

    Args:
        file: one input, images float32 (N, C, H, W), and two or more outputs of logits float32
            (N, K). N is dynamic or 1.
        outputs: names of the logits in the order of execution, the final exit last, in a sequence
            or separated by commas; ``auto`` takes all in the file's order.
        input_size: for a file whose height and width are dynamic.
        least_opset: the lowest opset that the bundle's precision allows.

    Raises:
        DataError: not an ONNX model, or its input or outputs are not as described above.
        InputError: the file does not have an output or a size that was asked for.
    """
    original = read_model(file)
    precision = precision_of(original)
    if precision != "fp32":
        raise DataError(
            f"{file}: expected a model in FP32, got {precision}; give an FP32 model, and "
            f"--precision {precision} for the bundle"
        )
    _check_branches(file, original)
    images, batch, size = _images(file, original, input_size)
    names = _chosen(file, original, outputs)
    logits, notes = _in_front_of_softmax(original, names)
    model = _prepared(file, original, logits, least_opset)
    return OnnxClassifier(file, model, original, images, size, batch, names, logits, notes)


def _check_branches(file: Path, model: onnx.ModelProto) -> None:
    """Refuse models with control flow."""
    for node in model.graph.node:
        if any(item.HasField("g") or item.graphs for item in node.attribute):
            raise DataError(
                f"{file}: its {node.op_type} {printable(node.name, SHOWN)!r} is control flow; "
                "export a model that returns every exit's logits: the bundle applies thresholds"
            )


def _images(
    file: Path, model: onnx.ModelProto, asked: tuple[int, int, int] | None
) -> tuple[str, int | None, tuple[int, int, int]]:
    """Return the input's name, its batch, and its size."""
    images, (batch, *declared) = images_input(file, model)
    size = tuple(asked) if asked is not None else tuple(declared)
    if any(wanted != has for wanted, has in zip(size, declared, strict=True) if has is not None):
        raise InputError(f"{file}: takes images of {tuple(declared)}, got --input-size for {size}")
    if None in size:
        raise InputError(
            f"{file}: its images have no fixed size, {described(images)}; give --input-size"
        )
    channels, height, width = (int(number or 0) for number in size)
    return images.name, batch, (channels, height, width)


def _chosen(file: Path, model: onnx.ModelProto, asked: Sequence[str] | str) -> tuple[str, ...]:
    """Return the names of the outputs that are the exits' logits."""
    found = {value.name: value for value in model.graph.output}
    if isinstance(asked, str):
        asked = () if asked == AUTO else asked.split(",")
    names = [name.strip() for name in asked] or [
        name for name, value in found.items() if are_logits(value)
    ]
    listed = ", ".join(
        f"{printable(name, SHOWN)} {described(value)}" for name, value in found.items()
    )
    for name in names:
        if name not in found:
            close = difflib.get_close_matches(name, found, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {listed}"
            raise InputError(f"{file}: has no output {name!r}; {hint}")
        if names.count(name) > 1:
            raise InputError(f"{file}: expected each output once, got {name} twice")
        if not are_logits(found[name]):
            raise InputError(
                f"{file}: expected logits float32 (N, K), got {name} {described(found[name])}; "
                f"there are {listed}"
            )
    if len(names) < 2:
        raise InputError(
            f"{file}: expected the logits of 2 or more exits, got {listed}; export the model so "
            "that it returns the logits of every exit"
        )
    widths = {sizes(found[name])[1] for name in names}
    if len(widths) > 1:
        raise InputError(f"{file}: expected logits of the same number of classes, got {listed}")
    return tuple(names)


def _in_front_of_softmax(
    model: onnx.ModelProto, names: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tensors of logits, and notes: losses and gates apply the softmax themselves."""
    view = GraphView(model)
    logits, notes = [], []
    for name in names:
        node = view.producers.get(name)
        if (
            node is not None
            and node.op_type == "Softmax"
            and view.attribute(node, "axis", -1) in ROWS
            and len(view.shape(node.input[0])) == 2
        ):
            notes.append(
                f"output {printable(name, SHOWN)} ends in a softmax: the logits in front of it "
                "are used"
            )
            name = node.input[0]
        logits.append(name)
    return tuple(logits), tuple(notes)


def _prepared(
    file: Path, original: onnx.ModelProto, logits: Sequence[str], least_opset: int
) -> onnx.ModelProto:
    """Return the model ready to be cut: functions inlined, constants folded, names prefixed."""
    model = onnx.ModelProto()
    model.CopyFrom(original)
    described_as = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
    del model.graph.output[:]
    model.graph.output.extend(
        described_as.get(name) or onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in dict.fromkeys(logits)
    )
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    wanted = min(max(opset, least_opset), OPSETS[-1])
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        if wanted != opset:
            model = onnx.version_converter.convert_version(model, wanted)
        model, valid = onnxsim.simplify(model)
    except Exception as error:  # onnx and onnxsim have no common error
        raise DataError(
            f"{file}: cannot be converted to ONNX opset {wanted}: {first_line(error)}; export it "
            f"with opset {wanted}"
        ) from error
    if not valid:
        raise DataError(f"{file}: onnxsim's result differs from the original model")
    return compose.add_prefix(model, PREFIX)


def plain_name(file: Path) -> str:
    """Return the manifest's name for the model in a file."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", file.stem) or "model"
