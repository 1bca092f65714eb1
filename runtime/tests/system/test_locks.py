"""Locks exclude others while their process lives, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.system.locks import LOCK_NAME, lock_file, lock_folder, sole_writer

HOLDER = """
import os, sys, time
from pathlib import Path
from edgeexit_runtime.system.locks import lock_folder

with lock_folder(Path(sys.argv[1])):
    if "forks" not in sys.argv or not os.fork():
        print("locked", flush=True)
    time.sleep(60)  # a worker may outlive its parent, as those do that load images
"""


@contextmanager
def held_elsewhere(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a folder's lock in another process, until that is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def test_lock_of_another_process_is_told_with_its_number(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as process:
        with pytest.raises(ee.BusyError) as refused, lock_folder(tmp_path):
            pytest.fail("two hold it")
        message = f"{tmp_path}: process {process.pid} is writing to it; wait until it has ended"
        assert str(refused.value).startswith(message)


@pytest.mark.parametrize("options", [(), ("forks",)])
def test_lock_of_a_killed_process_does_not_hold(tmp_path: Path, options: tuple[str, ...]) -> None:
    with held_elsewhere(tmp_path, *options) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert (tmp_path / LOCK_NAME).exists()
        with lock_folder(tmp_path):
            pass
        assert list(tmp_path.iterdir()) == []


def test_lock_excludes_a_thread_too(tmp_path: Path) -> None:
    refused: list[ee.BusyError] = []

    def second() -> None:
        try:
            with lock_folder(tmp_path):
                pass
        except ee.BusyError as error:
            refused.append(error)

    with lock_folder(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} is writing to it" in str(refused[0])


def test_holder_who_has_not_written_its_number_yet(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        lock_file(lock),
        pytest.raises(ee.BusyError, match="another process is writing to it"),
        sole_writer(tmp_path, lock),
    ):
        pytest.fail("two hold it")


def test_forked_child_leaves_the_lock_to_its_parent(tmp_path: Path) -> None:
    try:
        with lock_folder(tmp_path):
            child = os.fork()
            if not child:
                raise EOFError
            assert os.waitpid(child, 0)[1] == 0
            with pytest.raises(ee.BusyError), lock_folder(tmp_path):
                pytest.fail("two hold it")
    except EOFError:
        os._exit(0)


def test_lock_that_was_replaced_is_not_removed(tmp_path: Path) -> None:
    """A folder that was put in the place of this one may be held by somebody else by now."""
    lock = tmp_path / "lock"
    with lock_file(lock):
        lock.rename(tmp_path / "moved")
        with lock_file(lock):
            pass
        lock.write_text("of others")
    assert lock.read_text() == "of others"


def test_link_is_no_lock(tmp_path: Path) -> None:
    """A bundle may come from anywhere."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / LOCK_NAME).symlink_to(precious)
    with pytest.raises(ee.BundleError, match=r"\.build\.lock: cannot be written"):
        lock_folder(tmp_path).__enter__()
    assert precious.read_text() == "mine"
