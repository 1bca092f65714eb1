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
from support.messages import missing, refused

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]
TARGET = {"name": "mine", "engine": "cpu", "assumes": "luck", "elsewhere": "9 times as slow"}


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


NO_VNNI = ("VNNI", "products are widened", "exact and slower", "cpu-7bit")


@pytest.mark.parametrize(
    ("vnni", "target", "facts"),
    [
        (True, {"engine": "gpu"}, ("target mine", "CPUExecutionProvider", "9 times as slow")),
        (True, {}, ()),
        (False, {}, NO_VNNI),
        (None, {}, NO_VNNI),
        (False, {"weight_bits": 8}, NO_VNNI),
        (False, {"weight_bits": 7}, ()),
    ],
)
def test_on_a_cpu(
    vnni: bool | None,
    target: dict[str, str | int],
    facts: tuple[str, ...],
    bundle: Path,
    edit_manifest: Edit,
    warned: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    images_leaving_at: Callable[[list[int]], Any],
) -> None:
    place_cpu(monkeypatch, vnni=vnni)
    make_int8(bundle, edit_manifest, **target)
    for _ in range(2):
        with ee.load(bundle, providers=["CPUExecutionProvider"]) as session:
            assert session.infer(images_leaving_at([0, 2])).exits.tolist() == [0, 2]
    lines = warned()
    assert len(lines) == bool(facts)
    assert not facts or not missing(lines[0], str(bundle), *facts)


def test_for_a_cpu_on_a_gpu(
    bundle: Path,
    edit_manifest: Edit,
    warned: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place_cpu(monkeypatch, vnni=True)
    make_int8(bundle, edit_manifest)
    with ee.load(bundle, providers=["CPUExecutionProvider"]) as session:
        session.runner.int8_of, session.runner.device = ("gpu",), "some GPU"
        target_warnings.warn_of_target(open_bundle(bundle), session.runner)
    (line,) = warned()
    assert not missing(line, "some GPU", "9 times as slow")


def test_tensorrt_does_not_build_what_is_for_cpus(bundle: Path, edit_manifest: Edit) -> None:
    make_int8(bundle, edit_manifest)
    with refused(ee.InputError, "--target mine", "--target tensorrt"):
        build_engines(bundle)
    assert not list(bundle.glob("*.engine"))
