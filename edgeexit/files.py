"""Files that are whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import csv
import errno
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeexit.errors import WriteError

__all__ = [
    "check_writable",
    "remove_leftovers",
    "replace_file",
    "replace_folder",
    "write_csv",
    "write_json",
]

TOKEN_BYTES = 4
"""Of the random part of a temporary name, which has two digits for each."""


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; rename it when the block succeeds.

    Where ``path`` is a link, the file that it points at is replaced.

    Raises:
        WriteError: the disk is full, the folder cannot be written to, or ``path`` is no file.
    """
    with _explained(path):
        target = _regular_file(path)
        temporary = _prepare(target)
        try:
            temporary.touch()  # fails at once where nothing can be written
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise where :func:`replace_file` could not write ``path``, before what takes long is done.

    Nothing is left behind, and missing folders are not made yet.

    Raises:
        WriteError: as :func:`replace_file` would.
    """
    with _explained(path):
        target = _regular_file(path)
        folder = next(parent for parent in target.parents if parent.exists())
        probe = folder / _temporary_name(target)
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; put it in the place of ``path`` on success.

    What was at ``path`` stays until the new folder is whole, and is moved back should the last
    rename fail.

    Raises:
        WriteError: the disk is full, the folder cannot be written to, or ``path`` is no folder.
    """
    with _explained(path):
        target = _followed(path)
        if target.exists() and not target.is_dir():
            raise WriteError(f"could not write {path}: it is no folder; choose another name")
        temporary = _prepare(target)
        try:
            temporary.mkdir()
            yield temporary
            _put_in_place(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a heading and rows as CSV, atomically; what is None is left empty."""
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of :func:`replace_file` that killed processes left beside it.

    Nobody else may be writing ``path``.
    """
    target = _followed(path)
    digits = "[0-9a-f]" * (2 * TOKEN_BYTES)
    for leftover in target.parent.glob(f".{glob.escape(target.stem)}.{digits}{target.suffix}"):
        with contextlib.suppress(OSError):  # they do no harm
            leftover.unlink()


def _prepare(target: Path) -> Path:
    """Make the folder that ``target`` is in; return a free name there with the same ending."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(_temporary_name(target))


def _temporary_name(target: Path) -> str:
    # the ending is kept: some writers choose the format by it
    return f".{target.stem}.{secrets.token_hex(TOKEN_BYTES)}{target.suffix}"


def _followed(path: Path) -> Path:
    """Return where ``path`` leads, links followed."""
    try:
        target = Path(os.path.realpath(path))
    except ValueError as error:
        raise WriteError(f"could not write {path}: {error}; choose another name") from error
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


def _regular_file(path: Path) -> Path:
    """Return what is written where ``path`` is: what it points at, if it is a link."""
    target = _followed(path)
    if target.exists() and not target.is_file():  # a folder, or a device such as /dev/null
        raise WriteError(f"could not write {path}: it is no regular file; choose another name")
    return target


def _put_in_place(new: Path, target: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    old = new.with_name(f"{new.name}.old")
    try:
        target.rename(old)
        new.rename(target)
    except BaseException:  # Ctrl-C as well, wherever it strikes: what stood there must come back
        if not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"could not write {path}: {error.strerror or error}; nothing was changed there, "
            "free space or choose another place"
        ) from error
