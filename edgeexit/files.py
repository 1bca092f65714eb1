"""Atomic writes of files and folders: under a temporary name first, then renamed."""

from __future__ import annotations

import csv
import ctypes
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edgeexit_runtime.system import files
from edgeexit_runtime.system.locks import lock_folder, sole_writer
from edgeexit_runtime.system.untrusted import parse_json

from edgeexit.errors import WriteError

JSON_MAX_BYTES = 2**28
"""Large enough for the raw times of a benchmark."""


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; rename it when the block succeeds.

    If ``path`` is a symbolic link, its target is replaced.

    Raises:
        WriteError: the disk is full, the folder is not writable, or ``path`` is no regular file.
    """
    with _explained(path):
        target = _regular_file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.replace_file(target) as temporary:
            yield temporary


def check_writable(path: Path) -> None:
    """Check that :func:`replace_file` can write ``path``, before a long computation starts.

    No file is left behind, and missing folders are not created.

    Raises:
        WriteError: as :func:`replace_file` would.
    """
    with _explained(path):
        target = _regular_file(path)
        folder = next(parent for parent in target.parents if os.path.lexists(parent))
        probe = files.temporary_path(folder / target.name)
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it replaces ``path`` when the block succeeds.

    An existing folder stays until the new one is complete. The two are exchanged atomically where
    the system supports it. Elsewhere, a process that is killed between the two renames leaves
    ``path`` missing; the next call restores the old folder.

    Raises:
        BusyError: another process is writing ``path``.
        WriteError: the disk is full, the parent is not writable, or ``path`` is no folder.
    """
    with _explained(path), ExitStack() as held:
        target = _followed(path)
        if target.exists() and not target.is_dir():
            raise WriteError(f"could not write {path}: it is no folder; choose another name")
        target.parent.mkdir(parents=True, exist_ok=True)
        held.enter_context(sole_writer(path, target.with_name(f".{target.name}.edgeexit-lock")))
        _recover(target)
        # keeps other writers out of the old folder; Windows cannot rename one with an open file
        if target.exists() and os.name != "nt":
            held.enter_context(lock_folder(target))
        temporary = files.temporary_path(target)
        try:
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    files.sync(file)
            _put_in_place(temporary, target)
        finally:
            _remove(temporary)


@contextmanager
def write_into(folder: Path) -> Iterator[None]:
    """Hold ``folder`` as the only process that writes into it; create it if it is missing.

    Folders created here are removed again if nothing was written.

    Raises:
        BusyError: another process is writing into it.
        WriteError: it is not writable.
    """
    with ExitStack() as held:
        with _explained(folder):
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            held.callback(_remove_empty, made)
            held.enter_context(sole_writer(folder, folder / ".edgeexit-lock"))
        yield


def read_json(path: Path, max_bytes: int = JSON_MAX_BYTES) -> Any:
    """Return the content of a JSON file from an untrusted source.

    Raises:
        ValueError: it cannot be read, is larger than ``max_bytes``, or is not JSON with finite
            numbers and at most 32 levels. Callers put the file's name before the message.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        raise ValueError(f"cannot be read ({getattr(error, 'strerror', error)})") from error
    if len(content) > max_bytes:
        raise ValueError(f"larger than {max_bytes} bytes")
    try:
        return parse_json(content.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"not valid JSON ({error})") from error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a header and rows as CSV, atomically; None becomes an empty field."""
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def remove_leftovers(path: Path) -> None:
    """Remove temporary files of ``path`` left by killed processes, as each write does."""
    files.sweep(_followed(path))


def _followed(path: Path) -> Path:
    """Return ``path`` with symbolic links resolved."""
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise WriteError(f"could not write {path}: {error}; choose another name") from error
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _regular_file(path: Path) -> Path:
    """Return the file that a write to ``path`` replaces: the target, if it is a link."""
    target = _followed(path)
    if target.exists() and not target.is_file():  # a folder, or a device such as /dev/null
        raise WriteError(f"could not write {path}: it is no regular file; choose another name")
    return target


def _recover(target: Path) -> None:
    """Restore a folder that was being replaced, and remove what killed processes left."""
    old = _way_out(target)
    if old.exists():
        old.rename(files.temporary_path(target) if target.exists() else target)
    for path in target.parent.iterdir():
        if files.is_temporary(path.name, target.name):
            _remove(path)


def _put_in_place(new: Path, target: Path) -> None:
    """Rename ``new`` to ``target``; an existing ``target`` is renamed to ``new`` or removed."""
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):
        try:
            target.rename(_way_out(target))
            new.rename(target)
        finally:
            _recover(target)


def _way_out(target: Path) -> Path:
    """Return where the old folder is kept while it is replaced in more than one step."""
    return target.with_name(f".{target.stem}.edgeexit-old{target.suffix}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders atomically; return False if the system does not support it.

    See renameat2(2): https://man7.org/linux/man-pages/man2/rename.2.html.
    """
    if sys.platform != "linux":
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except AttributeError:  # new in glibc 2.28
        return False
    result: int = renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange)
    return result == 0


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:  # removes the rest if Ctrl-C interrupted the first call
        shutil.rmtree(folder, ignore_errors=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):  # not empty
        for folder in folders:
            folder.rmdir()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"could not write {path}: {error.strerror or error}; nothing was changed there, "
            "free space or choose another place"
        ) from error
