"""Tensors whose data lies in another file are found wherever a model may have a tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnx
import onnxruntime
import pytest
from edgeexit_runtime.bundle.external_data import MESSAGES, check_self_contained
from edgeexit_runtime.testing import replace_graph
from onnx import TensorProto, numpy_helper

OUTSIDE = r"a tensor's data lies in another file, expected all inside"


def tensor(*, outside: bool) -> TensorProto:
    made = numpy_helper.from_array(np.arange(4, dtype=np.float32), "weights")
    if outside:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "weights.bin", "offset": "0", "length": "16"}.items():
            made.external_data.add(key=key, value=value)
    return made


def attribute(**fields: Any) -> onnx.AttributeProto:
    return onnx.AttributeProto(name="value", **fields)


def graph(*attributes: onnx.AttributeProto, **fields: Any) -> onnx.GraphProto:
    nodes = [onnx.NodeProto(op_type="Constant", attribute=attributes)] if attributes else []
    return onnx.GraphProto(name="graph", node=nodes, **fields)


PLACES: dict[str, Callable[[TensorProto], onnx.ModelProto]] = {
    "initializer": lambda it: onnx.ModelProto(graph=graph(initializer=[it])),
    "the last of several": lambda it: onnx.ModelProto(
        graph=graph(initializer=[tensor(outside=False), it])
    ),
    "sparse indices": lambda it: onnx.ModelProto(
        graph=graph(sparse_initializer=[onnx.SparseTensorProto(indices=it)])
    ),
    "constant": lambda it: onnx.ModelProto(graph=graph(attribute(t=it))),
    "branches": lambda it: onnx.ModelProto(
        graph=graph(attribute(graphs=[graph(), graph(attribute(g=graph(attribute(t=it))))]))
    ),
    "function": lambda it: onnx.ModelProto(
        functions=[onnx.FunctionProto(node=[onnx.NodeProto(attribute=[attribute(t=it)])])]
    ),
}
"""Some of them; that no field is forgotten is tested below."""


@pytest.mark.parametrize("place", PLACES)
def test_data_elsewhere_is_found(place: str) -> None:
    check_self_contained(PLACES[place](tensor(outside=False)).SerializeToString())
    with pytest.raises(ValueError, match=OUTSIDE):
        check_self_contained(PLACES[place](tensor(outside=True)).SerializeToString())


def test_the_fields_that_lead_to_tensors_are_those_of_onnx() -> None:
    """As the installed onnx describes them: a newer one may have more."""
    found: dict[str, dict[int, str]] = {}
    holders = {"TensorProto"}
    while True:  # until no message is found that holds one that holds tensors
        before = dict(found)
        for name, message in onnx.ModelProto.DESCRIPTOR.file.message_types_by_name.items():
            fields = {
                field.number: field.message_type.name
                for field in message.fields
                if field.message_type is not None and field.message_type.name in holders
            }
            if fields:
                found[name] = fields
                holders.add(name)
        if found == before:
            break
    assert {**found, "TensorProto": {}} == MESSAGES


@pytest.mark.parametrize(
    ("location", "entries"), [(TensorProto.EXTERNAL, 0), (None, 1), (TensorProto.DEFAULT, 1)]
)
def test_either_mark_will_do(location: int | None, entries: int) -> None:
    made = tensor(outside=False)
    if location is not None:
        made.data_location = location
    for _ in range(entries):
        made.external_data.add(key="location", value="*/_ORT_MEM_ADDR_/*")
    with pytest.raises(ValueError, match=OUTSIDE):
        check_self_contained(PLACES["constant"](made).SerializeToString())


def test_data_that_is_said_to_be_inside_is_fine() -> None:
    made = tensor(outside=False)
    made.data_location = TensorProto.DEFAULT
    check_self_contained(PLACES["initializer"](made).SerializeToString())


@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"\x08",  # a number that does not come
        b"\x08" + b"\xff" * 10 + b"\x01",  # one of more than 64 bits
        b"\x3a\x05\x0a",  # a message longer than the file
        b"\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # by far
        b"\x3d\x00",  # four bytes that are one
        b"\x3b\x3c",  # a group
        b"\xba\x80\x80\x80\x10\x00",  # a tag of more than 32 bits, of whose lower bits a graph is
        b"\x3a\x03\x2a\x02\x2a",  # within a graph, an initializer that is cut off
    ],
)
def test_what_is_no_message_is_no_onnx_file(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not an ONNX file$"):
        check_self_contained(content)


def test_graphs_within_graphs_are_followed() -> None:
    inner = PLACES["initializer"](tensor(outside=True)).graph
    for _ in range(25):  # the parser of onnx goes no deeper than 100 messages
        inner = graph(attribute(g=inner))
    with pytest.raises(ValueError, match=OUTSIDE):
        check_self_contained(onnx.ModelProto(graph=inner).SerializeToString())


def test_a_bundle_reads_no_file_of_the_working_folder(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = onnx.load_from_string((bundle / "exit1.onnx").read_bytes())
    (constant,) = (node for node in model.graph.node if node.output[0] == "weights")
    weights = constant.attribute[0].t
    (tmp_path / "weights.bin").write_bytes(weights.raw_data)
    model.graph.node.remove(constant)
    kept = model.graph.initializer.add()
    kept.CopyFrom(weights)
    kept.name = "weights"
    replace_graph(bundle, "exit1", model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    ee.load(bundle, threads=1).close()

    kept.ClearField("raw_data")
    kept.data_location = TensorProto.EXTERNAL
    kept.external_data.add(key="location", value="weights.bin")
    content = model.SerializeToString()
    onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])  # takes it
    replace_graph(bundle, "exit1", content)
    with pytest.raises(ee.BundleError, match=rf"exit1\.onnx: {OUTSIDE}; export or copy it again$"):
        ee.load(bundle)


def test_onnx_runtimes_own_format_is_not_taken(bundle: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "stage2.ort")
    content = (bundle / "stage2.onnx").read_bytes()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    replace_graph(bundle, "stage2", (tmp_path / "stage2.ort").read_bytes())
    with pytest.raises(ee.BundleError, match=r"stage2\.onnx: not an ONNX file"):
        ee.load(bundle)
