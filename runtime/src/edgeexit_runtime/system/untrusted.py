"""Bounds on untrusted files and JSON, checked before anything else is done with them."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

from edgeexit_runtime.errors import BundleError

MAX_DEPTH = 32
"""Maximum nesting of lists and objects."""


def file_size(path: Path) -> int | None:
    """Return a file's size in bytes; None if there is no such file.

    Raises:
        BundleError: the system refuses: a name is too long, or a folder may not be read.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no possible file name
        return None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; it can be written again, and its numbers fit numpy's types.

    Raises:
        ValueError: it is not JSON, a number is not finite or an integer of more than 64 bits, or
            it is nested deeper than :data:`MAX_DEPTH` levels.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_number, parse_constant=_number)
    except RecursionError as error:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from error
    _check_depth(value)
    return value


def _integer(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"expected integers of 64 bits, got {digits}")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {text}")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
