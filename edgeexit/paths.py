"""Kinds of paths given by the user; unlike ``Path.is_file``, no OSError gets out."""

from __future__ import annotations

import stat
from pathlib import Path

from edgeexit.errors import DataError


def is_file(path: Path) -> bool:
    """Whether ``path`` is a regular file; symbolic links are followed.

    Raises:
        DataError: the path cannot be read: its name is too long, permission is denied, or links
            form a loop.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Whether ``path`` is a folder; links are followed. Raises like :func:`is_file`."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: an impossible name
        return 0
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check this path") from error
