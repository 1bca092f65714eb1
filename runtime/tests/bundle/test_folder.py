"""The files of a bundle are those that its manifest describes, and they alone."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from edgeexit_runtime.testing import images_leaving_at


def refused(folder: Path, file: str, message: str) -> None:
    path = folder / file
    with pytest.raises(ee.BundleError, match=f"^{re.escape(f'{path}: {message}')}$"):
        ee.load(folder)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_outside(path: Path) -> None:
    path.symlink_to(shutil.move(path, path.parents[1]))


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parents[1] / "nowhere.onnx")


MISSING = "missing from the bundle; export or copy it again"


@pytest.mark.parametrize("name", ["stage1", "exit1", "stage2", "exit2", "stage3", "final"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, MISSING),
        (make_folder, MISSING),
        (break_link, MISSING),
        (link_outside, "a link out of the bundle's folder; copy the file itself"),
        (
            truncate,
            "expected {whole} bytes, got 10; it is truncated or of another bundle, export or copy "
            "it again",
        ),
        (change, "changed since it was exported (SHA-256 differs); export or copy it again"),
    ],
)
def test_files_that_are_not_the_manifests(
    bundle: Path, name: str, damage: Callable[[Path], object], message: str
) -> None:
    path = bundle / f"{name}.onnx"
    whole = path.stat().st_size
    damage(path)
    refused(bundle, path.name, message.format(whole=whole))


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
    (bundle / "stage1.engine").write_bytes(b"left of a build that was killed, and never read")
    ee.load(bundle, threads=1).close()


def test_the_folder_may_be_relative_and_a_link(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "latest").symlink_to(bundle, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    with ee.load("latest", threads=1) as session:
        assert session.infer(images_leaving_at([1, 0])).exits.tolist() == [1, 0]
