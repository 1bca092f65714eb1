"""Atomic file writes: a file is written under a temporary name, then renamed.

A temporary file is locked while it is written, so one without a lock is a dead process's leftover.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from edgeexit_runtime.system.locks import lock_file

MARK = "edgeexit-"
"""Part of every temporary name, so that no user's file is mistaken for one."""

TOKEN_BYTES = 4


def temporary_path(target: Path) -> Path:
    """Return a unique name in the folder of ``target``, with its suffix."""
    token = secrets.token_hex(TOKEN_BYTES)
    return target.with_name(f".{target.stem}.{MARK}{token}{target.suffix}")


def is_temporary(name: str, target: str) -> bool:
    """Whether ``name`` could be from :func:`temporary_path` for a file or folder ``target``."""
    stem, suffix = re.escape(Path(target).stem), re.escape(Path(target).suffix)
    token = f"[0-9a-f]{{{2 * TOKEN_BYTES}}}"
    return re.fullmatch(rf"\.{stem}\.{MARK}{token}{suffix}", name) is not None


@contextlib.contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success, replace ``target`` with it.

    Leftovers are removed first. The content is synced to disk before the rename, for devices that
    may lose power.

    Raises:
        OSError: the file cannot be written.
    """
    sweep(target)
    temporary = temporary_path(target)
    try:
        with _locked(temporary):
            yield temporary
            sync(temporary)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(target: Path) -> None:
    """Remove the temporary files of ``target`` whose processes have died."""
    if sys.platform == "win32":  # see _locked
        return
    with contextlib.suppress(OSError):  # leftovers are harmless
        for path in target.parent.iterdir():
            if is_temporary(path.name, target.name):
                with contextlib.suppress(OSError), lock_file(path):  # locked: being written
                    pass


def read_cache(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file that only saves time; empty if it is too large or unreadable."""
    with contextlib.suppress(OSError):
        if path.stat().st_size <= max_bytes:
            return path.read_bytes()
    return b""


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _locked(path: Path) -> contextlib.AbstractContextManager[object]:
    if sys.platform == "win32":  # open files cannot be renamed there, so none is locked
        path.touch()
        return contextlib.nullcontext()
    else:
        return lock_file(path, wait=True)
