"""Save pictures with metadata that identifies edgeexit, so that it replaces only its own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexit.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MADE_BY = "edgeexit"
METADATA: dict[str, dict[str, Any]] = {  # without dates, so that files are reproducible
    ".png": {"Software": MADE_BY},
    ".pdf": {"Creator": MADE_BY, "CreationDate": None},
    ".svg": {"Creator": MADE_BY, "Date": None},
}
HEAD_BYTES = 256


def save_picture(figure: Figure, path: Path) -> None:
    """Write a picture, atomically; the suffix of ``path`` selects PNG, PDF or SVG.

    Raises:
        WriteError: the file cannot be written.
    """
    with replace_file(path) as temporary:
        figure.savefig(temporary, metadata=METADATA[path.suffix.lower()])


def is_own_png(path: Path) -> bool:
    """Whether :func:`save_picture` wrote the PNG file at ``path``."""
    try:
        with path.open("rb") as file:
            return f"Software\0{MADE_BY}".encode() in file.read(HEAD_BYTES)
    except OSError:
        return False
