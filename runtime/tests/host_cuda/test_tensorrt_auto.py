"""When ``auto`` is TensorRT. The manifest's records stand in for themselves here."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.backends import _has_tensorrt
from host_driver import HostDriver


@pytest.fixture
def bundle_with(
    bundle: Path, build_engines: Callable[..., dict[str, Any]]
) -> Callable[[set[str]], Any]:
    """A bundle whose manifest has the records of all engines but some."""
    module: Any = sys.modules["tensorrt"]
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)

    def make(left_out: set[str]) -> Any:
        manifest = ee.load_manifest(bundle)
        records = build_engines(bundle)
        engines = [record for name, record in records.items() if name not in left_out]
        return SimpleNamespace(manifest=SimpleNamespace(graphs=manifest.graphs, engines=engines))

    return make


def test_engines_and_a_device(bundle_with: Callable[[set[str]], Any]) -> None:
    assert _has_tensorrt(bundle_with(set()))
    assert _has_tensorrt(bundle_with({"baseline"}))


def test_an_engine_is_missing(bundle_with: Callable[[set[str]], Any]) -> None:
    assert not _has_tensorrt(bundle_with({"exit2"}))


def test_no_engines(bundle: Path) -> None:
    with ee.load(bundle, threads=1) as session:
        assert "onnxruntime" in session.runner.versions


def test_no_device(bundle_with: Callable[[set[str]], Any], driver: HostDriver) -> None:
    driver.fail(1, "cuDeviceGetCount", error=100)
    assert not _has_tensorrt(bundle_with(set()))


def test_no_library(
    bundle_with: Callable[[set[str]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = bundle_with(set())
    monkeypatch.delitem(sys.modules, "tensorrt")
    assert not _has_tensorrt(bundle)
