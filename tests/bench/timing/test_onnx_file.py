"""ONNX files whose weights lie in other files: inside their folder, and nowhere else."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from edgeexit_runtime import load_manifest
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgeexit.bench.timing.versus import open_versus
from edgeexit.errors import DataError
from edgeexit.export.from_onnx.file import MAX_BYTES, read_model

WEIGHTS = np.random.default_rng(0).standard_normal((192, 10)).astype(np.float32)
CHOSEN: dict[str, Any] = {"backend": "auto", "providers": None, "threads": 1}


def save(folder: Path, data: bytes = WEIGHTS.tobytes(), **said: str) -> Path:
    """Write a classifier with weights in another file, and what it says of them."""
    weights = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "small.onnx.data", **said}.items():
        weights.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    model = make_model(nodes, {"images": ["N", 3, 8, 8]}, {"logits": ["N", 10]}, opset=17)
    model.graph.initializer.append(weights)
    folder.mkdir(exist_ok=True)
    (folder / "small.onnx").write_bytes(model.SerializeToString())
    (folder / "small.onnx.data").write_bytes(data)
    return folder / "small.onnx"


def weights_of(model: onnx.ModelProto) -> NDArray[np.float32]:
    (tensor,) = model.graph.initializer
    assert tensor.data_location == TensorProto.DEFAULT
    assert not tensor.external_data
    return numpy_helper.to_array(tensor).astype(np.float32)


# what is read


@pytest.mark.parametrize(
    ("said", "before"),
    [
        ({}, b""),
        ({"offset": "0"}, b""),
        ({"offset": "64"}, bytes(64)),
        ({"offset": "64", "length": str(WEIGHTS.nbytes)}, bytes(64)),
        ({"location": "./small.onnx.data", "checksum": "of sha1"}, b""),
    ],
)
def test_weights_beside_the_file(tmp_path: Path, said: dict[str, str], before: bytes) -> None:
    behind = bytes(8) if "length" in said else b""
    file = save(tmp_path, before + WEIGHTS.tobytes() + behind, **said)
    np.testing.assert_array_equal(weights_of(read_model(file)), WEIGHTS)


def test_weights_in_a_folder_below_and_behind_a_link_that_stays_inside(tmp_path: Path) -> None:
    file = save(tmp_path, location="linked.bin")
    (tmp_path / "below").mkdir()
    (tmp_path / "small.onnx.data").rename(tmp_path / "below" / "real.bin")
    (tmp_path / "linked.bin").symlink_to(Path("below") / "real.bin")
    np.testing.assert_array_equal(weights_of(read_model(file)), WEIGHTS)


def test_the_current_folder_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(tmp_path / "model")
    save(tmp_path, bytes(WEIGHTS.nbytes))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(weights_of(read_model(Path("model/small.onnx"))), WEIGHTS)
    np.testing.assert_array_equal(weights_of(read_model(file)), WEIGHTS)


def test_what_torch_exports_by_default_answers_as_the_model(bundle: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 64), nn.Linear(64, 10)
    ).eval()
    images = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
    file = tmp_path / "beside.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(
        model, (torch.zeros(2, 3, 8, 8),), file, dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    assert (tmp_path / "beside.onnx.data").is_file()
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).softmax(1)
    with open_versus(file, load_manifest(bundle), CHOSEN) as versus:
        answers = versus.session.infer(images)
    np.testing.assert_array_equal(answers.labels, expected.argmax(1))
    np.testing.assert_allclose(answers.confidences, expected.amax(1), rtol=1e-4)


# what is refused


def link(target: str | Path) -> Callable[[Path], None]:
    return lambda folder: (folder / "link").symlink_to(target)


def neighbour(folder: Path) -> None:
    """A folder whose name begins as the model's does."""
    folder.with_name("model2").mkdir()
    (folder.parent / "secret.bin").rename(folder.with_name("model2") / "secret.bin")


OUTSIDE = "outside of its folder"
MISSING = "no such file beside it"


@pytest.mark.parametrize(
    ("location", "prepare", "expected"),
    [
        ("", None, OUTSIDE),
        ("../secret.bin", None, OUTSIDE),
        ("/etc/passwd", None, OUTSIDE),
        ("link", link("../secret.bin"), OUTSIDE),
        ("link/secret.bin", link(".."), OUTSIDE),
        ("below/../../secret.bin", lambda folder: (folder / "below").mkdir(), OUTSIDE),
        ("../model2/secret.bin", neighbour, OUTSIDE),
        ("pipe", lambda folder: os.mkfifo(folder / "pipe"), MISSING),
        ("missing.bin", None, MISSING),
        ("x" * 300, None, "File name too long"),
        ("a\0b", None, "null"),
    ],
)
def test_weights_that_are_not_in_the_folder(
    tmp_path: Path, location: str, prepare: Callable[[Path], None] | None, expected: str
) -> None:
    folder = tmp_path / "model"
    file = save(folder, location=location)
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())  # of the right size
    if prepare is not None:
        prepare(folder)
    with pytest.raises(DataError, match=expected) as caught:
        read_model(file)
    assert str(caught.value).startswith(f"{file}: its weights lie in ")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"length": "7681"}, "'small.onnx.data': expected 7,681 bytes there or more, got 7,680"),
        ({"offset": "7681"}, "expected 7,681 bytes"),
        ({"offset": "8", "length": "7680"}, "expected 7,688 bytes"),
        ({"offset": "9" * 19, "length": "9" * 19}, "bytes there or more"),
        ({"offset": "9" * 20}, "not a valid ONNX model"),
        ({"offset": "-1"}, "expected an offset or length .* got '-1'"),
        ({"length": "1e3"}, "got '1e3'"),
        ({"length": ""}, "got ''"),
    ],
)
def test_sizes_that_are_not_the_files(tmp_path: Path, said: dict[str, str], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        read_model(save(tmp_path, **said))


def test_sizes_are_summed_before_memory_is_taken(tmp_path: Path) -> None:
    """A sparse file, and 100 tensors of all of it: nothing on disk, 100 GiB in memory."""
    file = save(tmp_path)
    with (tmp_path / "small.onnx.data").open("wb") as data:
        data.truncate(2**30)
    model = onnx.load(file, load_external_data=False)
    model.graph.initializer.extend([model.graph.initializer[0]] * 99)
    file.write_bytes(model.SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"expected {MAX_BYTES:,} bytes of weights or less"):
            read_model(file)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2**24


def sparse(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    values = model.graph.sparse_initializer.add()
    values.values.CopyFrom(tensor)


def constant(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    node = helper.make_node("Constant", [], ["unused"])
    attribute = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(tensor)
    model.graph.node.append(node)


def function(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    inner = onnx.ModelProto()
    constant(inner, tensor)
    model.functions.add(name="f", domain="own").node.extend(inner.graph.node)


def branch(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    node = helper.make_node("If", ["condition"], ["either"])
    attribute = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH)
    attribute.g.initializer.append(tensor)
    model.graph.node.append(node)


@pytest.mark.parametrize("hide", [sparse, constant, function, branch])
def test_data_outside_are_found_wherever_a_file_hides_them(
    tmp_path: Path, hide: Callable[[onnx.ModelProto, onnx.TensorProto], None]
) -> None:
    file = save(tmp_path, location="../secret.bin")
    model = onnx.load(file, load_external_data=False)
    hidden = onnx.TensorProto()
    hidden.CopyFrom(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHTS, "weights"))
    hide(model, hidden)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match=OUTSIDE):
        read_model(file)


@pytest.mark.parametrize("name", [b"weights", b"small.onnx.data", b"location", b"flat", b"MatMul"])
def test_names_that_are_no_text(tmp_path: Path, name: bytes) -> None:
    """protobuf reads them without a word, and gives them as bytes."""
    path = save(tmp_path)
    content = path.read_bytes()
    assert name in content
    path.write_bytes(content.replace(name, b"\xe1" + name[1:]))
    with pytest.raises(DataError, match=r"small\.onnx: not an ONNX model"):
        read_model(path)
