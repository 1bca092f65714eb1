"""An INT8 bundle that meets another engine than it is for runs, and one line says what it costs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import edgeexit_runtime.backends.target_warnings as target_warnings
import pytest
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.engines.building import build_engines
from support.hardware import place_cpu

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]
TARGET = {"name": "mine", "engine": "cpu", "assumes": "luck", "elsewhere": "9 times as slow"}


@pytest.fixture(autouse=True)
def with_vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    place_cpu(monkeypatch, vnni=True)


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    target_warnings._warn.cache_clear()
    caplog.set_level(logging.WARNING, "edgeexit_runtime")
    return lambda: [record.getMessage() for record in caplog.records]


def make_int8(bundle: Path, edit_manifest: Edit, **target: str | int) -> None:
    entry = {
        "extent": "all",
        "method": "minmax",
        "fallback": "fp32",
        "target": {**TARGET, **target},
    }
    edit_manifest(bundle, lambda m: m.update(precision="int8", quantization=entry))


def test_for_a_gpu_on_a_cpu(
    bundle: Path,
    edit_manifest: Edit,
    warned: Callable[[], list[str]],
    images_leaving_at: Callable[[list[int]], Any],
) -> None:
    make_int8(bundle, edit_manifest, engine="gpu")
    for _ in range(3):
        with ee.load(bundle, providers=["CPUExecutionProvider"]) as session:
            assert session.infer(images_leaving_at([0, 2])).exits.tolist() == [0, 2]
    (line,) = warned()
    for fact in (str(bundle), "target mine", "CPUExecutionProvider", "9 times as slow"):
        assert fact in line


def test_for_a_cpu_on_a_cpu(
    bundle: Path, edit_manifest: Edit, warned: Callable[[], list[str]]
) -> None:
    make_int8(bundle, edit_manifest)
    ee.load(bundle, providers=["CPUExecutionProvider"]).close()
    assert warned() == []


def test_for_a_cpu_on_a_gpu(
    bundle: Path, edit_manifest: Edit, warned: Callable[[], list[str]]
) -> None:
    make_int8(bundle, edit_manifest)
    with ee.load(bundle, providers=["CPUExecutionProvider"]) as session:
        session.runner.int8_of, session.runner.device = ("gpu",), "some GPU"
        target_warnings.warn_of_target(open_bundle(bundle), session.runner)
    (line,) = warned()
    assert "some GPU" in line
    assert "9 times as slow" in line


@pytest.mark.parametrize(("bits", "says"), [(7, 0), (8, 1)])
def test_7_bits_need_no_vnni(
    bits: int,
    says: int,
    bundle: Path,
    edit_manifest: Edit,
    warned: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place_cpu(monkeypatch, vnni=False)
    make_int8(bundle, edit_manifest, weight_bits=bits)
    ee.load(bundle, providers=["CPUExecutionProvider"]).close()
    assert len(warned()) == says


@pytest.mark.parametrize("vnni", [False, None])
def test_without_vnni(
    vnni: bool | None,
    bundle: Path,
    edit_manifest: Edit,
    warned: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place_cpu(monkeypatch, vnni=vnni)
    make_int8(bundle, edit_manifest)
    ee.load(bundle, providers=["CPUExecutionProvider"]).close()
    (line,) = warned()
    for fact in ("VNNI", "products are widened", "exact and slower", "cpu-7bit"):
        assert fact in line


def test_tensorrt_does_not_build_what_is_for_cpus(bundle: Path, edit_manifest: Edit) -> None:
    make_int8(bundle, edit_manifest)
    with pytest.raises(ee.InputError) as raised:
        build_engines(bundle)
    assert "--target mine" in str(raised.value)
    assert "--target tensorrt" in str(raised.value)
    assert not list(bundle.glob("*.engine"))
