"""Builds that are killed at any moment, and two at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.backends.cuda_device import Gpu
from edgeexit_runtime.bundle import open_bundle
from edgeexit_runtime.engines import Here, build_engines, check_engine
from edgeexit_runtime.folder_lock import LOCK_NAME, lock_folder
from edgeexit_runtime.manifest import MANIFEST_NAME

PLACE = Here("tensorrt", "10.3.0", Gpu("Orin", "8.7"))


class Killed(BaseException):
    """Stands for a signal: nothing of ours handles it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Let the n-th renaming of a file not happen, and no clean-up either."""
    left = [calls]
    rename, unlink = Path.replace, Path.unlink

    def dying_rename(path: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] <= 0:
            raise Killed
        return rename(path, target)

    def dead_unlink(path: Path, missing_ok: bool = False) -> None:
        if left[0] > 0:
            unlink(path, missing_ok)

    monkeypatch.setattr(Path, "replace", dying_rename)
    monkeypatch.setattr(Path, "unlink", dead_unlink)


def engines_of(folder: Path) -> dict[str, bytes]:
    opened = open_bundle(folder)
    names = [entry.graph for entry in opened.manifest.engines]
    return {name: opened.read(check_engine(opened, name, PLACE)) for name in names}


@pytest.mark.parametrize("built_before", [False, True])
def test_bundle_is_what_it_was_wherever_a_build_is_killed(
    bundle: Path,
    doubles: Any,
    images_leaving_at: Callable[[list[int]], Any],
    monkeypatch: pytest.MonkeyPatch,
    built_before: bool,
) -> None:
    if built_before:
        doubles.install(engine=b"older")
        build_engines(bundle)
    before = engines_of(bundle)
    killed = 0
    # seven times the timing cache, seven engines, the manifest
    for renames in range(1, 16):
        doubles.install(engine=b"newer")
        with monkeypatch.context() as patched:
            kill_at(patched, renames)
            with pytest.raises(Killed):
                build_engines(bundle, rebuild=True)
        killed += 1
        assert engines_of(bundle) == before
        with ee.load(bundle, backend="onnxruntime", threads=1) as session:
            assert session.infer(images_leaving_at([1, 0])).exits.tolist() == [1, 0]
    assert killed == 15
    assert build_engines(bundle, rebuild=True).built == 7
    assert set(engines_of(bundle).values()) == {b"newer"}
    known = ee.load_manifest(bundle).files() | {MANIFEST_NAME, "timing.cache"}
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
    message = f"{bundle}: another build of this bundle is running; wait until it has ended"
    with lock_folder(bundle), pytest.raises(ee.BackendError) as raised:
        build_engines(bundle)
    assert str(raised.value) == message
    assert files(bundle) == before
    assert build_engines(bundle).built == 7


def test_nothing_to_build_needs_no_lock(bundle: Path, doubles: Any) -> None:
    doubles.install()
    build_engines(bundle)
    with lock_folder(bundle):
        assert build_engines(bundle).built == 0


def test_lock_of_a_process_that_was_killed_does_not_block(bundle: Path, doubles: Any) -> None:
    code = (
        "import sys; from pathlib import Path; from edgeexit_runtime.folder_lock import *\n"
        "with lock_folder(Path(sys.argv[1])):\n    print('locked', flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(bundle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        doubles.install()
        with pytest.raises(ee.BackendError, match="another build of this bundle is running"):
            build_engines(bundle)
        os.kill(process.pid, signal.SIGKILL)
    assert (bundle / LOCK_NAME).exists()
    assert build_engines(bundle).built == 7
    assert not (bundle / LOCK_NAME).exists()


def test_folder_that_cannot_be_written_to(bundle: Path, doubles: Any) -> None:
    doubles.install()
    (bundle / LOCK_NAME).mkdir()
    with pytest.raises(ee.BundleError, match=r"\.build\.lock: cannot be written \("):
        build_engines(bundle)
