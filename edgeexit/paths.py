"""What is at a path that a user gives; ``Path.is_file`` may raise an error of the system."""

from __future__ import annotations

import stat
from pathlib import Path

from edgeexit.errors import DataError


def is_file(path: Path) -> bool:
    """Whether there is a regular file, links followed.

    Raises:
        DataError: the system does not say: a name is too long, a folder closed, links in a circle.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Whether there is a folder, links followed; raises as :func:`is_file` does."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last of no possible name
        return 0
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check this path") from error
