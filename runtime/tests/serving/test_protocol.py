"""The Open Inference Protocol: what is read of requests, and what is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime import Predictions
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.serving.protocol import read_request, write_answer

IMAGES = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1)
ANSWERS = Predictions(np.array([4, 5]), np.array([0.5, 0.25], np.float32), np.array([0, 1]))


def request(**changes: Any) -> dict[str, Any]:
    """Return a request for the images, its input changed; None takes a field away."""
    tensor = {"name": "images", "datatype": "FP32", "shape": [2, 3, 1, 1], "data": list(range(6))}
    return {"inputs": [{k: v for k, v in {**tensor, **changes}.items() if v is not None}]}


def read(value: Any, tail: bytes = b"", length: str | None = None) -> Any:
    return read_request(json.dumps(value).encode() + tail, length)


@pytest.mark.parametrize("data", [list(range(6)), IMAGES.tolist()])
def test_json_flat_and_nested(data: list[Any]) -> None:
    asked = read(request(data=data))
    np.testing.assert_array_equal(asked.images, IMAGES)
    assert asked.images.dtype == np.float32
    assert asked.outputs == {"labels": False, "confidences": False, "exits": False}
    assert asked.id is None


def test_bytes_behind_the_json() -> None:
    value = request(data=None, parameters={"binary_data_size": 24})
    value |= {"id": "7", "parameters": {"binary_data_output": True}}
    asked = read(value, IMAGES.tobytes(), str(len(json.dumps(value))))
    np.testing.assert_array_equal(asked.images, IMAGES)
    assert asked.id == "7"
    assert asked.outputs == {"labels": True, "confidences": True, "exits": True}


def test_outputs_that_are_named() -> None:
    named = [{"name": "exits", "parameters": {"binary_data": True}}, {"name": "labels"}]
    assert read({**request(), "outputs": named}).outputs == {"exits": True, "labels": False}


def test_an_answer_in_json() -> None:
    body, headers = write_answer("m", read({**request(), "id": "a"}), ANSWERS)
    assert headers == {"content-type": "application/json"}
    answer = json.loads(body)
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a", "m", "1")
    assert answer["outputs"] == [
        {"name": "labels", "datatype": "INT64", "shape": [2], "data": [4, 5]},
        {"name": "confidences", "datatype": "FP32", "shape": [2], "data": [0.5, 0.25]},
        {"name": "exits", "datatype": "INT64", "shape": [2], "data": [0, 1]},
    ]


def test_an_answer_in_both_forms() -> None:
    named = [{"name": "confidences", "parameters": {"binary_data": True}}, {"name": "labels"}]
    body, headers = write_answer("m", read({**request(), "outputs": named}), ANSWERS)
    length = int(headers["inference-header-content-length"])
    confidences, labels = json.loads(body[:length])["outputs"]
    assert confidences["parameters"] == {"binary_data_size": 8}
    assert "data" not in confidences
    assert np.frombuffer(body[length:], "<f4").tolist() == [0.5, 0.25]
    assert labels["data"] == [4, 5]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], "the request: expected an object"),
        ({}, "inputs: expected images alone, got None"),
        ({"inputs": [1]}, "inputs: expected objects"),
        ({"inputs": []}, "inputs: expected images alone"),
        (request(name="x"), "inputs: expected images, got 'x'"),
        (request(datatype="FP64"), "images: expected FP32, got 'FP64'"),
        (request(shape=[2, 3, 1, 2]), "images: expected 12 numbers in data"),
        (request(shape=[-2, -3, 1, 1]), "images: expected a shape of sizes"),
        (request(shape=[True, 6, 1, 1]), "images: expected a shape of sizes"),
        (request(shape=[2**31, 2**31, 1, 1]), "images: expected a shape of sizes"),
        (request(shape=[2**30] * 8), "images: expected .* numbers in data"),
        (request(shape=[1] * 9), "images: expected a shape of sizes"),
        (request(shape=6), "images: expected a shape of sizes"),
        (request(data="x"), "images: expected data, a list, got 'str'"),
        (request(data=[[1, 2], [3]]), "images: expected data of one shape"),
        (request(data=IMAGES.transpose(0, 2, 3, 1).tolist()), r"flat or nested as \[2, 3, 1, 1\]"),
        (request(data=["a"] * 6), "images: expected 6 numbers in data"),
        (request(data=None), "images: expected data, a list, got 'NoneType'"),
        (request(parameters=[]), "parameters: expected an object"),
        (request(parameters={"binary_data_size": 24}), "images: expected 24 bytes"),
        (request(parameters={"binary_data_size": "24"}), "images: expected 24 bytes"),
        ({**request(), "id": 1}, "id: expected a string"),
        ({**request(), "outputs": [{"name": "x"}]}, "outputs: expected some of labels, conf"),
        ({**request(), "outputs": ["labels"]}, "outputs: expected some of labels"),
        ({**request(), "outputs": "labels"}, "outputs: expected a list"),
        ({**request(), "parameters": {"binary_data_output": 1}}, "expected true or false, got 1"),
        (
            {**request(), "outputs": [{"name": "labels", "parameters": {"classification": 3}}]},
            "classification is not supported",
        ),
    ],
)
def test_what_is_no_request(value: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(value)


@pytest.mark.parametrize("length", ["-1", "x", "", "99999", "1" * 30, "\u0663"])
def test_header_lengths_that_cannot_be(length: str) -> None:
    with pytest.raises(InputError, match="Inference-Header-Content-Length: expected 0 to"):
        read(request(), length=length)


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"{", b"[" * 100000, b'{"a": NaN}', b'{"a": 1e999}']
)
def test_bodies_that_are_no_json(body: bytes) -> None:
    with pytest.raises(InputError, match="the request: expected JSON"):
        read_request(body, None)
