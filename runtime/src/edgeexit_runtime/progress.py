"""Progress callbacks of operations that take minutes."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with the current step and the fraction of all work that is done, 0 to 1."""


def ignore_progress(step: str, done: float) -> None:
    """Ignore progress."""
