"""Files that are whole or not there: written under a temporary name, then renamed.

A temporary file is locked as long as it is written, and so known for a leftover once its process
has died.
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
"""In every temporary name, so that nobody's file is taken for one."""

TOKEN_BYTES = 4


def temporary_path(target: Path) -> Path:
    """Return a name beside ``target``, with its ending, which nothing else has."""
    token = secrets.token_hex(TOKEN_BYTES)
    return target.with_name(f".{target.stem}.{MARK}{token}{target.suffix}")


def is_temporary(name: str, target: str) -> bool:
    """Whether a name is one that :func:`temporary_path` gives for a file or folder ``target``."""
    stem, suffix = re.escape(Path(target).stem), re.escape(Path(target).suffix)
    # the mark came later; without it, a date is not taken for a token
    token = rf"({MARK}|(?=\d*[a-f]))[0-9a-f]{{{2 * TOKEN_BYTES}}}"
    return re.fullmatch(rf"\.{stem}\.{token}{suffix}", name) is not None


@contextlib.contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Give a temporary path to write to; put it in the place of ``target`` on success.

    Leftovers are swept first. The content is on the disk before it gets its name, for devices
    that lose their power.

    Raises:
        OSError: it cannot be written.
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
    with contextlib.suppress(OSError):  # they do no harm
        for path in target.parent.iterdir():
            if is_temporary(path.name, target.name):
                with contextlib.suppress(OSError), lock_file(path):  # else it is being written
                    pass


def sync(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _locked(path: Path) -> contextlib.AbstractContextManager[object]:
    if sys.platform == "win32":  # it renames no open file, so that none can be locked
        path.touch()
        return contextlib.nullcontext()
    else:
        return lock_file(path, wait=True)
