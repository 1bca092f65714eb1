"""How far a long piece of work is: what everything that takes minutes tells whoever called it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with what is being done now, and which fraction of it all is done, 0 to 1."""


def untold(step: str, done: float) -> None:
    """Tell nobody."""
