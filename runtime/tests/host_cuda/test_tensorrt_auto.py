"""When ``auto`` is TensorRT."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from engine_records import record


@pytest.fixture
def records(bundle: Path, build_engines: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    return build_engines(bundle)


def backend_of(folder: Path, **options: Any) -> str:
    with ee.load(folder, threads=1, **options) as session:
        return next(iter(session.runner.versions))


def test_engines_and_a_device(bundle: Path, records: dict[str, Any]) -> None:
    assert backend_of(bundle) == "tensorrt"
    del records["baseline"]
    record(bundle, records)
    assert backend_of(bundle) == "tensorrt"
    with pytest.raises(ee.BackendError, match=r"no engine was built from baseline; run: edgeexit"):
        ee.load_baseline(bundle, backend="tensorrt")
    with ee.load_baseline(bundle, threads=1) as session:
        assert "onnxruntime" in session.runner.versions
    assert backend_of(bundle, providers=["CPUExecutionProvider"]) == "onnxruntime"
    del records["exit2"]
    record(bundle, records)
    assert backend_of(bundle) == "onnxruntime"


@pytest.mark.parametrize("module", ["tensorrt", "pycuda"])
def test_what_is_not_installed_is_said(
    bundle: Path,
    records: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: str,
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == module else find(name)
    )
    with caplog.at_level(logging.WARNING):
        assert backend_of(bundle) == "onnxruntime"
    assert caplog.messages == [
        f"{bundle}: tensorrt is not used: {module} is not installed: pip install "
        "'edgeexit-runtime[tensorrt]', [tensorrt-rtx] for TensorRT-RTX, or [jetson] where JetPack "
        "brings TensorRT"
    ]


def test_engines_that_do_not_fit_are_named(
    bundle: Path, records: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = sys.modules["tensorrt"]
    monkeypatch.setattr(module, "__version__", "10.7.0")
    with pytest.raises(ee.BackendError, match=r"built with TensorRT 10\.3\.0, this is .*10\.7\.0"):
        ee.load(bundle)
