"""Builds that are killed at any moment, and two at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.backends.cuda.device import Gpu
from edgeexit_runtime.backends.tensorrt.engine_check import Here, check_engine
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from edgeexit_runtime.engines.building import build_engines
from edgeexit_runtime.engines.files import TIMING_CACHE
from edgeexit_runtime.system.locks import LOCK_NAME, lock_folder
from edgeexit_runtime.system.signals import StopSignals
from support.kills import RENAMES, STEPS, killed_at_each_step

PLACE = Here("tensorrt", "10.3.0", Gpu("Orin", "8.7"))


def engines_of(folder: Path) -> dict[str, bytes]:
    opened = open_bundle(folder)
    names = [entry.graph for entry in opened.manifest.engines]
    return {name: opened.read(check_engine(opened, name, PLACE)) for name in names}


@pytest.mark.parametrize(
    ("number", "steps"),
    [
        (signal.SIGKILL, RENAMES),
        pytest.param(signal.SIGKILL, STEPS, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, STEPS, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("older", [{}, {"engine": b"older"}], ids=["first", "again"])
def test_bundle_is_whole_wherever_a_build_is_killed(
    bundle: Path,
    doubles: Any,
    images_leaving_at: Callable[[list[int]], Any],
    older: dict[str, bytes],
    number: signal.Signals,
    steps: tuple[str, ...],
) -> None:
    if older:
        doubles.install(**older)
        build_engines(bundle)
    before = engines_of(bundle)
    doubles.install(engine=b"newer")

    def build() -> None:
        with StopSignals():
            build_engines(bundle, rebuild=True)

    found = []
    for _ in killed_at_each_step(build, bundle, number, steps):
        found.append(engines_of(bundle))
        with ee.load(bundle, backend="onnxruntime", threads=1) as session:
            assert session.infer(images_leaving_at([1, 0])).exits.tolist() == [1, 0]
        if number == signal.SIGTERM:  # a lock that nobody holds may be left, nothing else
            assert {path.name for path in bundle.glob(".*")} <= {LOCK_NAME}
    assert len(found) >= 15, "seven times the timing cache, seven engines, the manifest"
    assert all(engines in (before, dict.fromkeys(engines, b"newer")) for engines in found)
    assert found[0] == before
    assert set(engines_of(bundle).values()) == {b"newer"}
    known = ee.load_manifest(bundle).files() | {MANIFEST_NAME, TIMING_CACHE}
    assert {path.name for path in bundle.iterdir()} == known, "the leftovers are gone"


def test_engines_that_are_built_again_take_turns_with_their_names(
    bundle: Path, doubles: Any
) -> None:
    for turn in range(4):
        doubles.install(engine=b"engine %d" % turn)
        build_engines(bundle, rebuild=True)
        assert set(engines_of(bundle).values()) == {b"engine %d" % turn}
        assert len(list(bundle.glob("*.engine"))) == 7
        assert ("stage1.engine" in ee.load_manifest(bundle).files()) == (turn % 2 == 0)


def test_files_of_others_stay(bundle: Path, doubles: Any) -> None:
    names = ("mine.engine", "stage9-01234567.engine", "stage1-0123456.engine", "notes.building")
    for name in names:
        (bundle / name).write_bytes(b"mine")
    doubles.install()
    build_engines(bundle)
    assert all((bundle / name).read_bytes() == b"mine" for name in names)


def test_second_build_at_once_is_refused(bundle: Path, doubles: Any, files: Any) -> None:
    doubles.install()
    before = files(bundle)
    with lock_folder(bundle), pytest.raises(ee.BusyError) as raised:
        build_engines(bundle)
    assert str(raised.value).startswith(f"{bundle}: process {os.getpid()} is writing to it; wait")
    assert files(bundle) == before
    assert build_engines(bundle).built == 7
    assert not (bundle / LOCK_NAME).exists()


def test_nothing_to_build_needs_no_lock(bundle: Path, doubles: Any) -> None:
    doubles.install()
    build_engines(bundle)
    with lock_folder(bundle):
        assert build_engines(bundle).built == 0


def test_folder_that_cannot_be_written_to(bundle: Path, doubles: Any) -> None:
    doubles.install()
    (bundle / LOCK_NAME).mkdir()
    with pytest.raises(ee.BundleError, match=r"\.build\.lock: cannot be written \("):
        build_engines(bundle)
