"""Check that an ONNX file holds all of its data; parsed by hand, as the runtime needs only numpy.

An ONNX tensor may refer to another file, or to an address in memory. An engine that loads a model
from bytes looks for such a file in the working folder, and no manifest has its hash.

The file is a protobuf message: fields, each with a tag (number and wire type) and a value, which
may be a message again. Fields that lead to tensors are followed, the others are skipped.
"""

from __future__ import annotations

MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
"""For each message of onnx.proto that may hold a tensor, the numbers of the fields that do."""

EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a TensorProto; the second is 0 for data inside
VARINT, BYTES = 0, 2  # wire types
FIXED_BYTES = {1: 8, 5: 4}  # sizes of the other wire types
MAX_TAG = 2**32 - 1
VARINT_BYTES = 10
NOT_ONNX = "not an ONNX file"


def check_self_contained(content: bytes) -> None:
    """Check that no tensor of an ONNX file has its data elsewhere.

    Raises:
        ValueError: a tensor has, or this is not a protobuf message.
    """
    messages = [("ModelProto", 0, len(content))]
    while messages:
        name, position, end = messages.pop()
        followed = MESSAGES[name]
        while position < end:
            tag, position = _varint(content, position, end)
            field, wire_type = tag >> 3, tag & 7
            value = 0
            if wire_type == BYTES:
                size, position = _varint(content, position, end)
                if field in followed:
                    messages.append((followed[field], position, position + size))
                position += size
            elif wire_type == VARINT:
                value, position = _varint(content, position, end)
            elif wire_type in FIXED_BYTES:
                position += FIXED_BYTES[wire_type]
            else:
                raise ValueError(NOT_ONNX)
            if position > end or tag > MAX_TAG:  # a parser might drop higher bits
                raise ValueError(NOT_ONNX)
            is_outside = field == EXTERNAL_DATA or (field == DATA_LOCATION and value != 0)
            if name == "TensorProto" and is_outside:
                raise ValueError("a tensor's data lies in another file, expected all inside")


def _varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    """Return the number that starts at a position, seven bits per byte, and the end position."""
    value = 0
    for shift in range(VARINT_BYTES):
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position
    raise ValueError(NOT_ONNX)
