"""The files of a bundle are those that its manifest describes, and they alone."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME

NAMES = ["stage1", "exit1", "stage2", "exit2", "stage3", "final"]


def refused(folder: Path, file: str, message: str) -> None:
    path = folder / file
    with pytest.raises(ee.BundleError, match=f"^{re.escape(f'{path}: {message}')}$"):
        ee.load(folder)


@pytest.mark.parametrize("name", NAMES)
def test_missing_file(bundle: Path, name: str) -> None:
    (bundle / f"{name}.onnx").unlink()
    refused(bundle, f"{name}.onnx", "missing from the bundle; export or copy it again")


def test_folder_in_place_of_a_file(bundle: Path) -> None:
    (bundle / "stage1.onnx").unlink()
    (bundle / "stage1.onnx").mkdir()
    refused(bundle, "stage1.onnx", "missing from the bundle; export or copy it again")


@pytest.mark.parametrize("size", [0, 10])
def test_truncated_file(bundle: Path, size: int) -> None:
    path = bundle / "exit2.onnx"
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:size])
    refused(
        bundle,
        "exit2.onnx",
        f"expected {whole} bytes, got {size}; it is truncated or of another bundle, export or "
        "copy it again",
    )


@pytest.mark.parametrize("name", NAMES)
def test_changed_file(bundle: Path, name: str) -> None:
    path = bundle / f"{name}.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(
        bundle,
        f"{name}.onnx",
        "changed since it was exported (SHA-256 differs); export or copy it again",
    )


def test_changed_baseline_matters_where_it_is_loaded(bundle: Path) -> None:
    path = bundle / "baseline.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    ee.load(bundle, threads=1).close()
    with pytest.raises(ee.BundleError, match=r"baseline\.onnx: changed since it was exported"):
        ee.load_baseline(bundle)


def test_unreadable_file(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    refused(bundle, "stage1.onnx", "cannot be read (Input/output error)")


def test_engine_that_nobody_recorded_is_never_read(bundle: Path) -> None:
    (bundle / "stage1.engine").write_bytes(b"left of a build that was killed")
    ee.load(bundle, threads=1).close()


@pytest.mark.parametrize("name", ["other.onnx", "stage1.onnx.data"])
def test_foreign_model_file(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"")
    refused(bundle, name, "a model file that is not of this bundle; move it elsewhere")
    with pytest.raises(ee.BundleError, match="a model file that is not of this bundle"):
        ee.load_baseline(bundle)


def test_bundle_that_is_replaced_while_it_is_read(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest of one and the files of another are no bundle: it is read again."""
    other = shutil.copytree(bundle, tmp_path / "other")
    graph = other / "stage2.onnx"
    graph.write_bytes(graph.read_bytes() + b"\x72\x00")  # an empty doc string: the same graph
    manifest = json.loads((other / MANIFEST_NAME).read_text())
    entry = manifest["stages"][1]["graph"]
    entry["size_bytes"] += 2
    entry["sha256"] = hashlib.sha256(graph.read_bytes()).hexdigest()
    (other / MANIFEST_NAME).write_text(json.dumps(manifest))
    read = Path.read_bytes

    def replacing(path: Path) -> bytes:
        if other.exists():
            bundle.rename(tmp_path / "old")
            other.rename(bundle)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", replacing)
    with ee.load(bundle) as session:
        assert session.manifest.stages[1].graph.sha256 == entry["sha256"]


def test_other_files_do_no_harm(bundle: Path) -> None:
    (bundle / "README.txt").write_text("notes", encoding="utf-8")
    (bundle / "plots").mkdir()
    ee.load(bundle, threads=1).close()


def test_link_out_of_the_folder(bundle: Path, tmp_path: Path) -> None:
    path = bundle / "stage2.onnx"
    outside = tmp_path / "stage2.onnx"
    shutil.move(path, outside)
    path.symlink_to(outside)
    refused(bundle, "stage2.onnx", "a link out of the bundle's folder; copy the file itself")


def test_broken_link(bundle: Path, tmp_path: Path) -> None:
    path = bundle / "stage2.onnx"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere.onnx")
    refused(bundle, "stage2.onnx", "missing from the bundle; export or copy it again")


def test_link_to_the_folder_itself_is_fine(
    bundle: Path,
    tmp_path: Path,
    images_leaving_at: Callable[[list[int]], Any],
) -> None:
    link = tmp_path / "latest"
    link.symlink_to(bundle, target_is_directory=True)
    with ee.load(link, threads=1) as session:
        assert session.infer(images_leaving_at([1, 0])).exits.tolist() == [1, 0]


def test_relative_folder(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    images_leaving_at: Callable[[list[int]], Any],
) -> None:
    monkeypatch.chdir(bundle)
    with ee.load(".", threads=1) as session:
        assert session.infer(images_leaving_at([2])).exits.tolist() == [2]
