"""Reading sysfs: small files that the kernel generates when they are read."""

from __future__ import annotations

import re
from pathlib import Path

SYSFS = Path("/sys")
_DIGITS = re.compile(r"([0-9]+)")


def read_integer(file: Path) -> int:
    """Return the number in a file.

    Raises:
        OSError: it is missing, not readable by this user, or holds no integer; devices may also
            fail temporarily.
    """
    text = _read(file)
    try:
        return int(text)
    except ValueError as error:
        raise OSError(f"{file}: expected an integer, got {text[:40]!r}") from error


def try_integer(file: Path) -> int | None:
    """Return the number in a file; None if it cannot be read or holds none."""
    try:
        return read_integer(file)
    except OSError:
        return None


def try_text(file: Path) -> str:
    """Return a file's text, without surrounding white space; "" if it cannot be read."""
    try:
        return _read(file)
    except OSError:
        return ""


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").strip("\0 \t\n")


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Return the paths in a folder that match ``pattern``, number 2 before number 10."""
    return sorted(folder.glob(pattern), key=lambda path: _natural(path.name))


def _natural(name: str) -> list[tuple[int, str]]:
    parts = _DIGITS.split(name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
