"""Engines that are missing, foreign, or not what the manifest says."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from engine_records import record
from host_driver import HostDriver
from tensorrt_double import EngineSpec, engine_bytes

Build = Callable[..., dict[str, Any]]


@pytest.fixture
def records(bundle: Path, build_engines: Build) -> dict[str, Any]:
    return build_engines(bundle)


def refuses(folder: Path, error: type[ee.EdgeExitError], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        ee.load(folder, backend="tensorrt")


def replace(folder: Path, records: dict[str, Any], name: str, content: bytes) -> None:
    (folder / f"{name}.engine").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    change(folder, records, name, sha256=digest, size_bytes=len(content))


def change(folder: Path, records: dict[str, Any], name: str, **fields: Any) -> None:
    records[name] = dataclasses.replace(records[name], **fields)
    record(folder, records)


def how(folder: Path) -> str:
    return f"edgeexit build --engine-dir {folder}/, or python -m edgeexit_runtime build {folder}/"


@pytest.mark.parametrize("name", ["stage1", "final"])
def test_engine_that_was_not_built(bundle: Path, records: dict[str, Any], name: str) -> None:
    del records[name]
    record(bundle, records)
    message = f"{bundle}: no engine was built from {name}; run: {how(bundle)}"
    refuses(bundle, ee.BackendError, message)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"onnx_sha256": "0" * 64}, "exit1.onnx was changed after the engine was built"),
        ({"version": "10.2.0"}, "built with TensorRT 10.2.0, this is TensorRT 10.3.0"),
        (
            {"library": "tensorrt-rtx"},
            "built with TensorRT-RTX 10.3.0, this is TensorRT 10.3.0",
        ),
        ({"gpu": "Orin"}, "built on Orin, this is host CUDA"),
        (
            {"compute_capability": "8.7"},
            "built for compute capability 8.7, this host CUDA has 8.6",
        ),
        ({"precision": "int8"}, "built in int8, the bundle is fp32"),
        ({"max_batch": 8}, "built for batches up to 8, the bundle has 4"),
    ],
)
def test_engine_that_does_not_fit_is_named_and_not_run(
    bundle: Path, records: dict[str, Any], fields: dict[str, Any], reason: str, driver: HostDriver
) -> None:
    change(bundle, records, "exit1", **fields)
    allocations = driver.calls("cuMemAlloc")
    refuses(bundle, ee.BackendError, f"{bundle / 'exit1.engine'}: {reason}; run: {how(bundle)}")
    assert driver.calls("cuMemAlloc") == allocations


def test_engine_of_a_library_of_the_future(bundle: Path, records: dict[str, Any]) -> None:
    change(bundle, records, "stage1", library="auto")
    message = (
        f"{bundle / 'stage1.engine'}: built with auto, which this edgeexit-runtime does not know; "
        f"run: {how(bundle)}"
    )
    refuses(bundle, ee.BackendError, message)


def test_library_that_is_not_installed(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    message = (
        "TensorRT is not installed: pip install tensorrt, or on a Jetson JetPack's "
        "python3-libnvinfer"
    )
    refuses(bundle, ee.BackendError, message)


def test_no_device(bundle: Path, records: dict[str, Any], driver: HostDriver) -> None:
    driver.fail(1, "cuInit", error=100)
    refuses(bundle, ee.BackendError, "no CUDA device can be used here: the driver shows none")


def test_device_that_cannot_be_used(
    bundle: Path, records: dict[str, Any], driver: HostDriver
) -> None:
    driver.fail(1, "cuDevicePrimaryCtxRetain", error=2)
    with pytest.raises(ee.BackendError, match=r"^no CUDA device can be used here: .*out of memory"):
        ee.load(bundle, backend="tensorrt")


def test_no_driver(bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise OSError("libcuda.so.1: no such file")

    monkeypatch.setattr("edgeexit_runtime.backends.cuda.context.load_driver", fail)
    message = "CUDA's driver cannot be loaded: libcuda.so.1: no such file"
    refuses(bundle, ee.BackendError, message)


def test_library_that_makes_no_context(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = sys.modules["tensorrt"]
    monkeypatch.setattr(engine.ICudaEngine, "create_execution_context", lambda self, strategy: None)
    message = (
        "stage1.engine: TensorRT 10.3.0 cannot make an execution context: it does not say why; "
        "build the engines again"
    )
    refuses(bundle, ee.BackendError, message)


def test_pycuda_that_is_not_installed(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("edgeexit_runtime.backends.")]:
        if name.partition("backends.")[2].startswith(("tensorrt", "cuda_")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    message = (
        "pycuda is not installed: pip install 'edgeexit-runtime[tensorrt]', [tensorrt-rtx] for "
        "TensorRT-RTX, or [jetson] where JetPack brings TensorRT"
    )
    refuses(bundle, ee.BackendError, message)


def test_engine_that_is_changed(bundle: Path, records: dict[str, Any]) -> None:
    path = bundle / "stage1.engine"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ee.BundleError, match=r"stage1\.engine: changed since"):
        ee.load(bundle, backend="tensorrt")


def test_engine_that_the_library_cannot_load(bundle: Path, records: dict[str, Any]) -> None:
    replace(bundle, records, "stage2", b"garbage")
    message = (
        "stage2.engine: TensorRT 10.3.0 cannot load it: the magic tag does not match; build the "
        "engines again"
    )
    refuses(bundle, ee.BackendError, message)


@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 4)])
def test_engine_of_other_batches(bundle: Path, build_engines: Build, low: int, high: int) -> None:
    build_engines(bundle, max_batch=high, min_batch=low)
    message = (
        f"stage1.engine: takes {low} to {high} samples, the bundle's batches are 1 to 4; build the "
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
    refuses(bundle, ee.BundleError, f"{name}.engine: {message}; build the engines again")


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
        "stage1.engine: expected first float16 (-1, 3, 4, 4) by the manifest, got DataType.FLOAT "
        "(-1, 3, 4, 4); build the engines again"
    )
    refuses(bundle, ee.BundleError, message)
