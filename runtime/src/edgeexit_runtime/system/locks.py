"""Locks between processes: open, locked files, which the system unlocks when a process dies.

The file alone means nothing: one that a dead process has left does not lock.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from edgeexit_runtime.errors import BundleError, BusyError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = ".build.lock"

_held: set[int] = set()


@contextlib.contextmanager
def lock_file(path: Path, *, wait: bool = False) -> Iterator[int]:
    """Lock a file, created if missing; afterwards remove it if it still has this name.

    Yields its descriptor. Processes that are forked in the block do not hold the lock.

    Raises:
        BlockingIOError: another process or thread holds it, and ``wait`` is not set.
        OSError: it cannot be written or locked.
    """
    file = _acquire(path, wait)
    _held.add(file)
    try:
        yield file
    finally:
        if file in _held:  # not in a child that was forked in the block
            if _is_named(path, file):
                with contextlib.suppress(OSError):  # Windows cannot remove open files; it may stay
                    path.unlink()
            _held.remove(file)
            os.close(file)


@contextlib.contextmanager
def sole_writer(folder: Path, lock: Path) -> Iterator[None]:
    """Make this the only process that writes ``folder``, by locking the file ``lock``.

    Raises:
        BusyError: another process or thread is writing it.
        OSError: the lock cannot be written.
    """
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(lock_file(lock))
        except BlockingIOError as error:
            raise BusyError(
                f"{folder}: {_holder(lock)} is writing to it; wait until it has ended, or end it"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        yield


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a bundle's folder; every process that changes its contents does so.

    Raises:
        BusyError: another process or thread holds the lock.
        BundleError: the folder cannot be written to.
    """
    with contextlib.ExitStack() as held:
        lock = folder / LOCK_NAME
        try:
            held.enter_context(sole_writer(folder, lock))
        except OSError as error:
            raise BundleError(f"{lock}: cannot be written ({error.strerror})") from error
        yield


def _acquire(path: Path, wait: bool) -> int:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # others may write to the folder
    while True:
        file = os.open(path, flags, 0o666)
        try:
            _lock(file, wait)
        except BaseException:
            os.close(file)
            raise
        if _is_named(path, file):
            return file
        os.close(file)  # its holder has just removed it


def _lock(file: int, wait: bool) -> None:
    if sys.platform == "win32":
        try:
            msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _is_named(path: Path, file: int) -> bool:
    """Whether an open file is still the one with this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False


def _holder(lock: Path) -> str:
    try:
        return f"process {int(lock.read_text())}"
    except (OSError, ValueError):  # just created, and still empty
        return "another process"


def _release_in_child() -> None:
    """Close the parent's locks in a forked child: a worker may outlive the parent."""
    for file in _held:
        os.close(file)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_release_in_child)
