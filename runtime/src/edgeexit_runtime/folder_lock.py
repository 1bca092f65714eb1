"""One process at a time: a lock on a bundle's folder, which the system gives back for the dead."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from edgeexit_runtime.errors import BackendError, BundleError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["LOCK_NAME", "lock_folder"]

LOCK_NAME = ".build.lock"


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which is a file in it that is open and locked.

    The file alone means nothing: what a process that died has left does not lock.

    Raises:
        BackendError: another process, or another thread, holds it.
        BundleError: the folder cannot be written to.
    """
    path = folder / LOCK_NAME
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise BundleError(f"{path}: cannot be written ({error.strerror})") from error
        try:
            _lock(file)
        except OSError as error:
            os.close(file)
            raise BackendError(
                f"{folder}: another build of this bundle is running; wait until it has ended"
            ) from error
        if _is_named(path, file):
            break
        os.close(file)  # whoever held it has just removed it
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file; it may stay
            path.unlink()
        os.close(file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_named(path: Path, file: int) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False
