"""Engines that are missing, foreign, or not what the manifest says."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from tensorrt_double import EngineSpec, engine_bytes

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def records(bundle: Path, build_engines: Build) -> dict[str, Any]:
    return build_engines(bundle)


def refuses(folder: Path, error: type[ee.EdgeExitError], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        ee.load(folder, backend="tensorrt")


def replace(folder: Path, records: dict[str, Any], name: str, content: bytes) -> None:
    (folder / f"{name}.plan").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    records[name] = dataclasses.replace(records[name], sha256=digest, size_bytes=len(content))


def test_no_engines(bundle: Path, records: dict[str, Any]) -> None:
    del records["stage2"], records["final"]
    message = "no engine of stage2, final in this bundle; build them on this device"
    refuses(bundle, ee.BackendError, message)


def test_engine_of_another_onnx_file(bundle: Path, records: dict[str, Any]) -> None:
    records["exit1"] = dataclasses.replace(records["exit1"], onnx_sha256="0")
    message = (
        "the engines of exit1 were built from other ONNX files than the bundle's; build them again"
    )
    refuses(bundle, ee.BackendError, message)


def test_engines_of_two_libraries(bundle: Path, records: dict[str, Any]) -> None:
    records["exit1"] = dataclasses.replace(records["exit1"], library="tensorrt-rtx")
    message = "engines: built with tensorrt and tensorrt-rtx; build them with one"
    refuses(bundle, ee.BackendError, message)


def test_engine_that_is_changed(bundle: Path, records: dict[str, Any]) -> None:
    path = bundle / "stage1.plan"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ee.BundleError, match=r"stage1\.plan: changed since"):
        ee.load(bundle, backend="tensorrt")


def test_engine_that_the_library_cannot_load(bundle: Path, records: dict[str, Any]) -> None:
    replace(bundle, records, "stage2", b"garbage")
    message = (
        "stage2.plan: tensorrt 10.3.0 cannot load it: the magic tag does not match; build the "
        "engines again"
    )
    refuses(bundle, ee.BackendError, message)


@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 4)])
def test_engine_of_other_batches(bundle: Path, build_engines: Build, low: int, high: int) -> None:
    build_engines(bundle, max_batch=high, min_batch=low)
    message = (
        f"stage1.plan: takes {low} to {high} samples, the bundle's batches are 1 to 4; build the "
        "engines again"
    )
    refuses(bundle, ee.BackendError, message)


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("stage2", "stage3", "expected inputs first by the manifest, got second"),
        ("exit1", "stage2", "expected inputs first, threshold by the manifest, got first"),
    ],
)
def test_engine_of_another_graph(
    bundle: Path, records: dict[str, Any], name: str, other: str, message: str
) -> None:
    content = engine_bytes((bundle / f"{other}.onnx").read_bytes(), EngineSpec(max_batch=4))
    replace(bundle, records, name, content)
    refuses(bundle, ee.BundleError, f"{name}.plan: {message}; build the engines again")


def test_engine_with_tensors_of_another_type(
    bundle: Path, records: dict[str, Any], edit_manifest: Callable[..., None]
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for graph in (manifest["stages"][0], manifest["stages"][1], manifest["exits"][0]):
            for tensor in (*graph["graph"]["inputs"], *graph["graph"]["outputs"]):
                if tensor["name"] == "first":
                    tensor["dtype"] = "float16"

    edit_manifest(bundle, change)
    message = (
        "stage1.plan: expected first float16 (-1, 3, 4, 4) by the manifest, got DataType.FLOAT "
        "(-1, 3, 4, 4); build the engines again"
    )
    refuses(bundle, ee.BundleError, message)
