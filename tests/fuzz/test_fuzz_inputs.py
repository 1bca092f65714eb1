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
from support.damage import constants, damaged_bytes, damaged_tree
from support.reports import made_report

from edgeexit.bench.render.report import report_json
from edgeexit.export.single.packing import pack_bundle

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


def test_image_bytes(fuzz: Fuzz, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for name, options in IMAGES.items():
        Image.fromarray(pixels).save(tmp_path / name, **options)
    fuzz("images", tmp_path, _any_file(tmp_path), runs=150)


def test_array_bytes(fuzz: Fuzz, tmp_path: Path) -> None:
    """Archives have checksums: damage is found, or does not matter."""
    arrays = {"images": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.arange(4)}
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    fuzz("arrays", tmp_path, _any_file(tmp_path), runs=100, other=False)


def test_report_values(fuzz: Fuzz, tmp_path: Path) -> None:
    report = report_json(made_report(rounds=3, images=5))
    costs = {"unit": "mJ", "paths": {"exit1": 1.2, "final": 4.1}, "branches": {"exit1": 0.4}}
    for name, value in (("report.json", report), ("costs.json", {**costs, "baseline": 3.2})):
        (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")

    def damaged(file: Path) -> st.SearchStrategy[dict[str, bytes]]:
        text = file.read_text(encoding="utf-8")
        trees = damaged_tree(lambda: json.loads(text), constants(*VALUES))
        return trees.map(lambda tree: {file.name: json.dumps(tree).encode()})

    files = st.sampled_from([tmp_path / "report.json", tmp_path / "costs.json"])
    fuzz("report", tmp_path, files.flatmap(damaged), runs=40)


def test_single_file_bytes(
    fuzz: Fuzz, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"))
    pack_bundle(bundle, tmp_path / "model.onnx", random_images(4, seed=0), "noise")
    fuzz("single", tmp_path, _any_file(tmp_path), runs=150)


def test_request_bytes(fuzz: Fuzz, tmp_path: Path) -> None:
    images = random_images(2, seed=0)
    tensor = {"name": "images", "datatype": "FP32", "shape": list(images.shape)}
    plain = {"inputs": [{**tensor, "data": images.tolist()}], "outputs": [{"name": "labels"}]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": images.nbytes}}]})
    (tmp_path / "json").write_text(json.dumps(plain), encoding="utf-8")
    (tmp_path / "bytes").write_bytes(head.encode() + images.tobytes())
    (tmp_path / "length").write_text(str(len(head)), encoding="utf-8")
    fuzz("requests", tmp_path, _any_file(tmp_path), runs=150)
