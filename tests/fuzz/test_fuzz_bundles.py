"""Bundles: the manifest's bytes and values, and graphs whose hashes were put right."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnx
import pytest
from edgeexit_runtime.bundle.engine_entry import FROM_NETWORK, EngineEntry, EngineOptions
from edgeexit_runtime.bundle.manifest import manifest_json
from edgeexit_runtime.bundle.quantization_entry import MethodScore, QuantizationEntry
from edgeexit_runtime.testing import make_model
from google.protobuf.message import Message
from hypothesis import strategies as st
from onnx import helper
from support.damage import constants, damaged_bytes, damaged_tree
from support.tiny_bundle import write_bundle

Fuzz = Callable[..., None]

MANIFEST = "manifest.json"
DEEP = "as deep as no program reads it"

NUMBERS = [0, -1, 1, 7, 2**31, 2**62, 2**63, 10**400, 0.5, 1e-320, 1e39, 1e308, math.nan, math.inf]
TEXTS = ["", "final", "exit1", "stage1", "images", "first", "../x", "/etc/passwd", "a/b", "x" * 300]
VALUES = [*NUMBERS, *TEXTS, None, True, "\x1b[31m\n", "\ud800", [], {}, [[]], {"a": {}}, DEEP]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle whose manifest has something in every field."""
    folder = write_bundle(tmp_path_factory.mktemp("bundle"))
    (folder / "final.engine").write_bytes(b"never read on a CPU")
    engine = EngineEntry(
        graph="final",
        file="final.engine",
        sha256="0" * 64,
        size_bytes=19,
        onnx_sha256="0" * 64,
        library="tensorrt",
        version="10.3.0",
        gpu=None,
        compute_capability="8.6",
        precision="fp16",
        max_batch=4,
        options=EngineOptions(),
        layers={"fp16": 1.0},
        layers_from=FROM_NETWORK,
    )
    scores = {"minmax": MethodScore(1.0, 1.0, -0.01)}
    manifest = dataclasses.replace(
        ee.load_manifest(folder),
        data={"name": "digits", "input_size": [3, 8, 8]},
        versions={"onnx": "1.19.0"},
        precision="int8",
        engines=(engine,),
        quantization=QuantizationEntry("all", "minmax", "fp32", 10, "photos", 5, scores),
    )
    (folder / MANIFEST).write_text(manifest_json(manifest), encoding="utf-8")
    return folder


def test_manifest_bytes(fuzz: Fuzz, bundle: Path) -> None:
    contents = damaged_bytes((bundle / MANIFEST).read_bytes())
    fuzz("bundle", bundle, contents.map(lambda content: {MANIFEST: content}), runs=60)


def test_manifest_values(fuzz: Fuzz, bundle: Path) -> None:
    text = (bundle / MANIFEST).read_text(encoding="utf-8")

    def written(manifest: Any) -> dict[str, bytes]:
        deep = "[" * 5000 + "]" * 5000
        return {MANIFEST: json.dumps(manifest).replace(json.dumps(DEEP), deep).encode()}

    trees = damaged_tree(lambda: json.loads(text), constants(*VALUES))
    fuzz("bundle", bundle, trees.map(written), runs=150)


def test_graph_bytes(fuzz: Fuzz, bundle: Path) -> None:
    fuzz("bundle", bundle, _graphs(bundle, damaged_bytes), runs=100)


def test_graph_fields(fuzz: Fuzz, bundle: Path) -> None:
    fuzz("bundle", bundle, _graphs(bundle, _damaged_fields), runs=150)


def test_rival(fuzz: Fuzz, tmp_path: Path) -> None:
    """An ONNX file of somebody else's, whose weights lie beside it."""
    write_bundle(tmp_path)
    weights = np.random.default_rng(0).normal(0, 0.1, (192, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    reads, writes = {"images": ["batch", 3, 8, 8]}, {"logits": ["batch", 10]}
    model = make_model(nodes, reads, writes, {"weights": weights}, opset=13)
    beside = {"save_as_external_data": True, "location": "rival.data", "size_threshold": 0}
    onnx.save(model, tmp_path / "rival.onnx", **beside)
    content = (tmp_path / "rival.onnx").read_bytes()
    contents = st.one_of(_damaged_fields(content), damaged_bytes(content))
    fuzz("rival", tmp_path, contents.map(lambda it: {"rival.onnx": it}), runs=60)


def _graphs(
    bundle: Path, damage: Callable[[bytes], st.SearchStrategy[bytes]]
) -> st.SearchStrategy[dict[str, bytes]]:
    """Damage one graph, and give the manifest the hash that it has then."""
    text = (bundle / MANIFEST).read_text(encoding="utf-8")

    def rehashed(kind: str, index: int, content: bytes) -> dict[str, bytes]:
        manifest = json.loads(text)
        graph = manifest[kind][index]["graph"]
        graph["sha256"], graph["size_bytes"] = hashlib.sha256(content).hexdigest(), len(content)
        return {graph["file"]: content, MANIFEST: json.dumps(manifest).encode()}

    def damaged(kind: str, index: int) -> st.SearchStrategy[dict[str, bytes]]:
        file = json.loads(text)[kind][index]["graph"]["file"]
        contents = damage((bundle / file).read_bytes())
        return contents.map(lambda content: rehashed(kind, index, content))

    places = st.tuples(st.sampled_from(["stages", "exits"]), st.integers(0, 1))
    return places.flatmap(lambda place: damaged(*place))


def _damaged_fields(content: bytes) -> st.SearchStrategy[bytes]:
    """Change, repeat or take away fields of an ONNX file, whatever they belong to."""
    edits = st.tuples(
        st.integers(0, 2**16),
        st.sampled_from(["put", "put", "repeat", "drop"]),
        st.sampled_from(NUMBERS),
        st.sampled_from([*TEXTS, "logits", "Loop", "Relu", "ai.onnx.ml"]),
    )

    def damaged(chosen: list[Any]) -> bytes:
        model = onnx.ModelProto.FromString(content)
        for number, *edit in chosen:
            fields = list(_fields(model))
            _edit_field(*fields[number % len(fields)], *edit)
        return model.SerializeToString()

    return st.lists(edits, min_size=1, max_size=3).map(damaged)


def _fields(message: Message) -> Iterator[tuple[Message, str, int | None]]:
    """Yield everything that is set: its message, its field, and its index where there are many."""
    for field, value in message.ListFields():
        many = not isinstance(value, (Message, str, bytes, int, float))
        for index, item in enumerate(value) if many else [(None, value)]:
            yield message, field.name, index
            if isinstance(item, Message):
                yield from _fields(item)


def _edit_field(
    message: Message, name: str, index: int | None, what: str, number: float, text: str
) -> None:
    value = getattr(message, name)
    old = value if index is None else value[index]
    new = {str: text, bytes: text.encode(), int: number, float: number}.get(type(old))
    try:
        if what == "drop" or (new is None and index is None):
            message.ClearField(name)
        elif index is None:
            setattr(message, name, new)
        elif what == "repeat" or new is None:
            value.insert(index, old)
        else:
            value[index] = new
    except (TypeError, ValueError):
        pass  # no such number is of this field's type
