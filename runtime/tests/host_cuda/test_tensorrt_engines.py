"""Engines that are missing, foreign, or not what the manifest says.

Why an engine does not fit a machine is in ``engines/test_files.py``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from engine_records import record
from host_driver import HostDriver
from support.messages import refused
from tensorrt_double import EngineSpec, engine_bytes

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def records(bundle: Path, build_engines: Build) -> dict[str, Any]:
    return build_engines(bundle)


def replace(folder: Path, records: dict[str, Any], name: str, content: bytes) -> None:
    (folder / f"{name}.engine").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    change(folder, records, name, sha256=digest, size_bytes=len(content))


def change(folder: Path, records: dict[str, Any], name: str, **fields: Any) -> None:
    records[name] = dataclasses.replace(records[name], **fields)
    record(folder, records)


def refuses(folder: Path, *facts: str, error: type[ee.EdgeExitError] = ee.BackendError) -> None:
    with refused(error, *facts):
        ee.load(folder, backend="tensorrt")


@pytest.mark.parametrize("name", ["stage1", "final"])
def test_engine_that_was_not_built(bundle: Path, records: dict[str, Any], name: str) -> None:
    del records[name]
    record(bundle, records)
    refuses(bundle, str(bundle), f"no engine was built from {name}", "edgeexit build", f"{bundle}/")


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("exit1", {"version": "10.2.0"}, "built with TensorRT 10.2.0, this is TensorRT 10.3.0"),
        ("exit1", {"gpu": "Orin"}, "built on Orin, this is host CUDA"),
        ("stage1", {"library": "auto"}, "built with auto, which this edgeexit-runtime does not"),
    ],
)
def test_engine_that_does_not_fit_is_named_and_not_run(
    bundle: Path,
    records: dict[str, Any],
    name: str,
    fields: dict[str, Any],
    reason: str,
    driver: HostDriver,
) -> None:
    change(bundle, records, name, **fields)
    allocations = driver.calls("cuMemAlloc")
    refuses(bundle, str(bundle / f"{name}.engine"), reason, "edgeexit build --engine-dir")
    assert driver.calls("cuMemAlloc") == allocations


def test_library_that_is_not_installed(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    refuses(bundle, "TensorRT is not installed", "pip install tensorrt", "JetPack")


@pytest.mark.parametrize(
    ("function", "error", "reason"),
    [("cuInit", 100, "the driver shows none"), ("cuDevicePrimaryCtxRetain", 2, "out of memory")],
)
def test_no_device(
    bundle: Path,
    records: dict[str, Any],
    driver: HostDriver,
    function: str,
    error: int,
    reason: str,
) -> None:
    driver.fail(1, function, error=error)
    refuses(bundle, "no CUDA device can be used here", reason)


def test_no_driver(bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise OSError("libcuda.so.1: no such file")

    monkeypatch.setattr("edgeexit_runtime.backends.cuda.context.load_driver", fail)
    refuses(bundle, "CUDA's driver cannot be loaded: libcuda.so.1: no such file")


def test_library_that_makes_no_context(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = sys.modules["tensorrt"]
    monkeypatch.setattr(engine.ICudaEngine, "create_execution_context", lambda self, strategy: None)
    refuses(bundle, "stage1.engine", "cannot make an execution context", "does not say why")


def test_pycuda_that_is_not_installed(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("edgeexit_runtime.backends.")]:
        if name.partition("backends.")[2].startswith(("tensorrt", "cuda_")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    refuses(
        bundle, "pycuda is not installed", "pip install 'edgeexit-runtime[tensorrt]'", "JetPack"
    )


def test_engine_that_is_changed(bundle: Path, records: dict[str, Any]) -> None:
    path = bundle / "stage1.engine"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    refuses(bundle, "stage1.engine: changed since", error=ee.BundleError)


def test_engine_that_the_library_cannot_load(bundle: Path, records: dict[str, Any]) -> None:
    replace(bundle, records, "stage2", b"garbage")
    refuses(bundle, "stage2.engine: TensorRT 10.3.0 cannot load it: the magic tag", "build the")


@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 4)])
def test_engine_of_other_batches(bundle: Path, build_engines: Build, low: int, high: int) -> None:
    build_engines(bundle, max_batch=high, min_batch=low)
    refuses(bundle, f"stage1.engine: takes {low} to {high} samples", "1 to 4", "build the engines")


@pytest.mark.parametrize(
    ("name", "other", "expected", "got"),
    [
        ("stage2", "stage3", "expected inputs first", "got second"),
        ("exit1", "stage2", "expected inputs first, threshold", "got first"),
    ],
)
def test_engine_of_another_graph(
    bundle: Path, records: dict[str, Any], name: str, other: str, expected: str, got: str
) -> None:
    content = engine_bytes((bundle / f"{other}.onnx").read_bytes(), EngineSpec(max_batch=4))
    replace(bundle, records, name, content)
    refuses(bundle, f"{name}.engine", expected, got, "build the", error=ee.BundleError)


def test_engine_with_tensors_of_another_type(
    bundle: Path, records: dict[str, Any], edit_manifest: Callable[..., None]
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        for graph in (manifest["stages"][0], manifest["stages"][1], manifest["exits"][0]):
            for tensor in (*graph["graph"]["inputs"], *graph["graph"]["outputs"]):
                if tensor["name"] == "first":
                    tensor["dtype"] = "float16"

    edit_manifest(bundle, change)
    facts = ("stage1.engine", "first float16 (-1, 3, 4, 4)", "got DataType.FLOAT (-1, 3, 4, 4)")
    refuses(bundle, *facts, error=ee.BundleError)
