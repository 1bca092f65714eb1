"""Reads a user's ONNX file, with weights that are stored in other files of its folder.

``onnx.load`` would read these too, but how far it trusts the locations and sizes that a file gives
depends on the version of onnx.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from edgeexit_runtime.errors import printable
from onnx import TensorProto

from edgeexit.errors import DataError

MIN_OPSET = 12  # GreaterOrEqual
MAX_BYTES = 2**31 - 2**20  # of a protobuf message, with room for what is added to it
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger")
SHOWN = 80  # characters shown of a name that comes from the file


def read_model(file: Path) -> onnx.ModelProto:
    """Return a valid model with all its data inside.

    Raises:
        DataError: not an ONNX model, too large or too old, or its data is outside its folder, or
            in files that are missing or too short.
    """
    model = _parse(file)
    _take_in(file, model)
    opset = max((entry.version for entry in model.opset_import if not entry.domain), default=0)
    if opset < MIN_OPSET:
        raise DataError(
            f"{file}: expected ONNX opset {MIN_OPSET} or later, got {opset}; export it again"
        )
    try:
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx has no common base for these
        reason = str(error).strip().partition("\n")[0]
        raise DataError(f"{file}: not a valid ONNX model: {reason}") from error
    return model


def precision_of(model: onnx.ModelProto) -> str:
    """Return the precision of a model as manifests name it."""
    if any(node.op_type in QUANTIZED for node in model.graph.node):
        return "int8"
    is_half = any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return "fp16" if is_half else "fp32"


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs without weights, which old models list among the inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def sizes(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Return a tensor's sizes, None where they are dynamic."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def described(value: onnx.ValueInfoProto) -> str:
    """Return type and shape of a tensor for a message."""
    tensor = value.type.tensor_type
    names = {number: name.lower() for name, number in TensorProto.DataType.items()}
    dtype = names.get(tensor.elem_type, f"type {tensor.elem_type}")
    return f"{dtype} ({', '.join('?' if size is None else str(size) for size in sizes(value))})"


def images_input(
    file: Path, model: onnx.ModelProto
) -> tuple[onnx.ValueInfoProto, tuple[int | None, ...]]:
    """Return the one input, images float32 (N, C, H, W), and its sizes; N is dynamic or 1.

    Raises:
        DataError: the model takes something else.
    """
    inputs = fed_inputs(model.graph)
    if len(inputs) != 1:
        found = ", ".join(value.name for value in inputs) or "none"
        raise DataError(f"{file}: expected one input, images, got {printable(found, SHOWN)}")
    (images,) = inputs
    shape, named = sizes(images), f"{file}: {printable(images.name, SHOWN)}"
    if images.type.tensor_type.elem_type != TensorProto.FLOAT or len(shape) != 4:
        raise DataError(f"{named}: expected float32 (N, C, H, W), got {described(images)}")
    if shape[0] not in (None, 1):
        raise DataError(
            f"{named}: expected a batch that is dynamic or 1, got {shape[0]}; export it again"
        )
    return images, shape


def are_logits(value: onnx.ValueInfoProto) -> bool:
    """Whether a tensor is float32 (N, K)."""
    return value.type.tensor_type.elem_type == TensorProto.FLOAT and len(sizes(value)) == 2


def _parse(file: Path) -> onnx.ModelProto:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{file}: larger than {MAX_BYTES} bytes, no ONNX file")
        model = onnx.load_model_from_string(file.read_bytes())
        if not model.graph.node or not all(map(_is_text, _messages(model))):
            raise ValueError("no nodes, or names that are no text")
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except Exception as error:  # protobuf's; protobuf is no direct dependency
        raise DataError(f"{file}: not an ONNX model; expected a classifier's .onnx file") from error
    return model


def _take_in(file: Path, model: onnx.ModelProto) -> None:
    """Load data from other files into the model; all sizes are checked before any is read."""
    tensors = [it for it in _messages(model) if isinstance(it, onnx.TensorProto)]
    outside = [it for it in tensors if it.data_location == TensorProto.EXTERNAL]
    places = [_place(file, tensor) for tensor in outside]
    total = file.stat().st_size + sum(length for _, _, length in places)
    if total > MAX_BYTES:
        raise DataError(
            f"{file}: expected {MAX_BYTES:,} bytes of weights or less, got {total:,}; give "
            "a smaller model"
        )
    for tensor, (where, offset, length) in zip(outside, places, strict=True):
        try:
            with where.open("rb") as opened:
                opened.seek(offset)
                tensor.raw_data = opened.read(length)
        except OSError as error:
            raise DataError(f"{where}: cannot be read ({error.strerror})") from error
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _place(file: Path, tensor: onnx.TensorProto) -> tuple[Path, int, int]:
    """Return the file in the model's folder that has a tensor's data, links resolved, and where."""
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    where = f"{file}: its weights lie in {printable(location, SHOWN)!r}"
    folder = Path(os.path.realpath(file.parent))
    try:
        data = Path(os.path.realpath(folder / location))
        size_bytes = data.stat().st_size if data.is_file() else None
    except (OSError, ValueError) as error:  # the name is too long, or has a NUL
        reason = getattr(error, "strerror", error)
        raise DataError(f"{where} ({reason}); save it with all data inside") from error
    if folder not in data.parents:
        raise DataError(
            f"{where}, outside of its folder, which is not read; save it with its data inside, "
            "or in a file beside it"
        )
    if size_bytes is None:
        raise DataError(f"{where}, and there is no such file beside it; copy both together")
    offset = _number(file, fields.get("offset", "0"))
    length = _number(file, fields["length"]) if "length" in fields else max(0, size_bytes - offset)
    if offset + length > size_bytes:
        raise DataError(
            f"{where}: expected {offset + length:,} bytes there or more, got {size_bytes:,}; it is "
            "truncated or from another model, copy both together"
        )
    return data, offset, length


def _number(file: Path, text: str) -> int:
    if re.fullmatch(r"[0-9]{1,19}", text) is None:
        raise DataError(
            f"{file}: not a valid ONNX model: expected an offset or length of weights in bytes, "
            f"got {text!r}"
        )
    return int(text)


def _messages(message: Any) -> Iterator[Any]:
    """Yield a message and all nested ones, in subgraphs, functions and sparse tensors too."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in (value,) if hasattr(value, "ListFields") else value:
                yield from _messages(item)


def _is_text(message: Any) -> bool:
    """Whether all string fields are valid text: protobuf returns bytes where one is not."""
    return not any(
        isinstance(item, bytes)
        for field, value in message.ListFields()
        if field.type == field.TYPE_STRING
        for item in ((value,) if isinstance(value, (str, bytes)) else value)
    )
