"""What else users hand in: images, arrays, reports and costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.testing import write_bundle
from edgeexit_runtime.testing.networks import random_images
from hypothesis import strategies as st
from PIL import Image
from support.damage import damaged_bytes, damaged_tree
from support.reports import made_report

from edgeexit.bench.render.report import report_json
from edgeexit.export.single.packing import pack_bundle

Read = Callable[..., Any]
Fuzz = Callable[..., None]

VALUES = [0, -1, 1, 2**62, 0.0, -0.5, 1e-300, 1e300, "", "exit1", "a\x1b[31m\n", None, True, [], {}]

IMAGES: dict[str, dict[str, Any]] = {
    "photo.jpg": {},
    "progressive.jpg": {"progressive": True, "format": "JPEG"},
    "photo.png": {},
    "photo.webp": {},
    "photo.gif": {},
    "photo.bmp": {},
    "photo.ppm": {},
    "plain.tif": {},
    "packed.tif": {"compression": "tiff_lzw"},
    "tiles.tif": {"compression": "tiff_adobe_deflate"},
}


def _any_file(folder: Path) -> st.SearchStrategy[dict[str, bytes]]:
    """Damage the bytes of one file in a folder."""
    return st.sampled_from(sorted(folder.iterdir())).flatmap(
        lambda file: damaged_bytes(file.read_bytes()).map(lambda content: {file.name: content})
    )


def test_image_bytes(
    fuzz: Fuzz, reader: Callable[[str, Path], Read], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for name, options in IMAGES.items():
        Image.fromarray(pixels).save(folder / name, **options)
    fuzz(reader("images", folder), _any_file(folder), runs=150)


def test_array_bytes(
    fuzz: Fuzz, reader: Callable[[str, Path], Read], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Archives have checksums: damage is found, or does not matter."""
    folder = tmp_path_factory.mktemp("arrays")
    arrays = {"images": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.arange(4)}
    np.savez(folder / "plain.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)
    fuzz(reader("arrays", folder), _any_file(folder), runs=100, other=False)


def test_report_values(
    fuzz: Fuzz, reader: Callable[[str, Path], Read], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("report")
    report = report_json(made_report(rounds=3, images=5))
    costs = {"unit": "mJ", "paths": {"exit1": 1.2, "final": 4.1}, "branches": {"exit1": 0.4}}
    for name, value in (("report.json", report), ("costs.json", {**costs, "baseline": 3.2})):
        (folder / name).write_text(json.dumps(value), encoding="utf-8")

    def damaged(file: Path) -> st.SearchStrategy[dict[str, bytes]]:
        text = file.read_text(encoding="utf-8")
        trees = damaged_tree(lambda: json.loads(text), [lambda _, v=value: v for value in VALUES])
        return trees.map(lambda tree: {file.name: json.dumps(tree).encode()})

    files = st.sampled_from([folder / "report.json", folder / "costs.json"])
    fuzz(reader("report", folder), files.flatmap(damaged), runs=40)


def test_single_file_bytes(
    fuzz: Fuzz, reader: Callable[[str, Path], Read], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("single")
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "bundle")
    pack_bundle(bundle, folder / "model.onnx", random_images(4, seed=0), "noise")
    fuzz(reader("single", folder), _any_file(folder), runs=150)


def test_request_bytes(
    fuzz: Fuzz, reader: Callable[[str, Path], Read], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("requests")
    images = random_images(2, seed=0)
    tensor = {"name": "images", "datatype": "FP32", "shape": list(images.shape)}
    plain = {"inputs": [{**tensor, "data": images.tolist()}], "outputs": [{"name": "labels"}]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": images.nbytes}}]})
    (folder / "json").write_text(json.dumps(plain), encoding="utf-8")
    (folder / "bytes").write_bytes(head.encode() + images.tobytes())
    (folder / "length").write_text(str(len(head)), encoding="utf-8")
    fuzz(reader("requests", folder), _any_file(folder), runs=150)
