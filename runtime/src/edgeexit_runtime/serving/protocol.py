"""The Open Inference Protocol (KServe v2) over HTTP: reading requests, writing responses.

Tensors are JSON, or bytes after the JSON (the extension ``binary_tensor_data``). The header
``Inference-Header-Content-Length`` is then the length of the JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import IMAGES, Manifest
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.gate import Predictions
from edgeexit_runtime.system.untrusted import parse_json

HEADER_LENGTH = "inference-header-content-length"
VERSION = "1"
OUTPUTS = {"labels": "INT64", "confidences": "FP32", "exits": "INT64"}
"""Attributes of :class:`~edgeexit_runtime.Predictions`, and their datatypes."""
BINARY, BINARY_SIZE, BINARY_OUTPUT = "binary_data", "binary_data_size", "binary_data_output"
MAX_RANK = 8


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request: images (N, C, H, W), not checked yet, and the outputs to return.

    Attributes:
        outputs: by name, whether the output is returned as bytes.
    """

    id: str | None
    images: NDArray[np.float32]
    outputs: Mapping[str, bool]


def server_metadata(version: str) -> dict[str, Any]:
    """Return the server's metadata."""
    return {"name": "edgeexit", "version": version, "extensions": ["binary_tensor_data"]}


def model_metadata(name: str, manifest: Manifest) -> dict[str, Any]:
    """Return a model's metadata; its parameters include the names of classes and exits."""
    size = list(manifest.preprocessing.input_size)
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "edgeexit",
        "inputs": [{"name": IMAGES, "datatype": "FP32", "shape": [-1, *size]}],
        "outputs": [
            {"name": output, "datatype": datatype, "shape": [-1]}
            for output, datatype in OUTPUTS.items()
        ],
        "parameters": {
            "class_names": list(manifest.class_names),
            "exit_names": list(manifest.exit_names),
            "precision": manifest.precision,
            "mean": list(manifest.preprocessing.mean),
            "std": list(manifest.preprocessing.std),
        },
    }


def read_request(body: bytes, header_length: str | None) -> InferRequest:
    """Parse the body of an inference request.

    Args:
        body: the request's body.
        header_length: the header's value, if bytes of tensors follow the JSON.

    Raises:
        InputError: it is not a valid request.
    """
    length = len(body)
    if header_length is not None:
        length = _size(header_length, "Inference-Header-Content-Length", len(body))
    try:
        value = parse_json(body[:length].decode("utf-8"))
    except ValueError as error:
        raise InputError(f"the request: expected JSON ({error})") from error
    _expect(isinstance(value, dict), "the request: expected an object", value)
    inputs = value.get("inputs")
    _expect(
        isinstance(inputs, list) and len(inputs) == 1, f"inputs: expected {IMAGES} alone", inputs
    )
    request_id = value.get("id")
    _expect(request_id is None or isinstance(request_id, str), "id: expected a string", request_id)
    return InferRequest(request_id, _images(inputs[0], body[length:]), _outputs(value))


def write_answer(
    name: str, request: InferRequest, predictions: Predictions
) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a response."""
    outputs, tail = [], b""
    for output, is_binary in request.outputs.items():
        array: NDArray[Any] = getattr(predictions, output)
        entry: dict[str, Any] = {
            "name": output,
            "datatype": OUTPUTS[output],
            "shape": [len(array)],
        }
        if is_binary:
            content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            entry["parameters"] = {BINARY_SIZE: len(content)}
            tail += content
        else:
            entry["data"] = array.tolist()
        outputs.append(entry)
    answer = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    if request.id is not None:
        answer["id"] = request.id
    head = json.dumps(answer).encode()
    if not tail:
        return head, {"content-type": "application/json"}
    headers = {HEADER_LENGTH: str(len(head)), "content-type": "application/octet-stream"}
    return head + tail, headers


def _images(tensor: Any, tail: bytes) -> NDArray[np.float32]:
    """Return the tensor of the images, from JSON or from the bytes after it."""
    _expect(isinstance(tensor, dict), "inputs: expected objects", tensor)
    name, datatype = tensor.get("name"), tensor.get("datatype")
    _expect(name == IMAGES, f"inputs: expected {IMAGES}", name)
    _expect(datatype == "FP32", f"{IMAGES}: expected FP32", datatype)
    shape = tensor.get("shape")
    fits = isinstance(shape, list) and len(shape) <= MAX_RANK and all(map(_is_size, shape))
    _expect(fits, f"{IMAGES}: expected a shape of sizes", shape)
    size = _parameters(tensor).get(BINARY_SIZE)
    count = math.prod(shape)
    images: NDArray[np.float32]
    if size is None:
        images = _from_json(tensor.get("data"), shape).reshape(shape)
        return images
    if size != len(tail) or size != 4 * count:
        raise InputError(
            f"{IMAGES}: expected {4 * count} bytes after the JSON, by its shape, got "
            f"{len(tail)}, and {size!r} in {BINARY_SIZE}"
        )
    images = np.frombuffer(tail, np.dtype("<f4")).astype(np.float32, copy=False).reshape(shape)
    return images


def _from_json(data: Any, shape: list[int]) -> NDArray[np.float32]:
    """Return the numbers of a flat list, or of one nested as the shape."""
    _expect(isinstance(data, list), f"{IMAGES}: expected data, a list", type(data).__name__)
    try:
        values = np.array(data)
    except ValueError as error:  # lists of different lengths
        raise InputError(f"{IMAGES}: expected data of one shape") from error
    if values.dtype.kind not in "fiu" or values.shape not in (tuple(shape), (math.prod(shape),)):
        raise InputError(
            f"{IMAGES}: expected {math.prod(shape)} numbers in data, flat or nested as {shape}, "
            f"got {values.dtype} {values.shape}"
        )
    with np.errstate(over="ignore"):  # the session refuses infinity later
        return values.astype(np.float32)


def _outputs(request: dict[str, Any]) -> dict[str, bool]:
    """Return the requested outputs; all if none is named."""
    all_binary = _flag(_parameters(request), BINARY_OUTPUT, False)
    named = request.get("outputs")
    if not named:
        return dict.fromkeys(OUTPUTS, all_binary)
    _expect(
        isinstance(named, list) and len(named) <= len(OUTPUTS), "outputs: expected a list", named
    )
    wanted: dict[str, bool] = {}
    for output in named:
        name = output.get("name") if isinstance(output, dict) else output
        _expect(
            isinstance(name, str) and name in OUTPUTS and isinstance(output, dict),
            f"outputs: expected some of {', '.join(OUTPUTS)}",
            name,
        )
        parameters = _parameters(output)
        if parameters.get("classification"):
            raise InputError("outputs: classification is not supported; ask for labels")
        wanted[str(name)] = _flag(parameters, BINARY, all_binary)
    return wanted


def _parameters(owner: dict[str, Any]) -> dict[str, Any]:
    parameters = owner.get("parameters", {})
    _expect(isinstance(parameters, dict), "parameters: expected an object", parameters)
    return dict(parameters)


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    _expect(isinstance(value, bool), f"{name}: expected true or false", value)
    return bool(value)


def _size(text: str, what: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise InputError(f"{what}: expected 0 to {most}, the body's bytes, got {text!r}")
    return int(text)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _expect(fits: bool, expected: str, got: object) -> None:
    if not fits:
        raise InputError(f"{expected}, got {got!r}")
