"""Things by name: what a command line's word stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from edgeexit.errors import UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")


class Registry(Generic[T]):
    """Values of one kind by name.

    Args:
        kind: what messages call one of them, such as ``strategy``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a value under ``name``.

        Raises:
            ValueError: another value has the name.
        """

        def add(value: T) -> T:
            known = self._values.setdefault(name, value)
            if known is not value:
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")
            return value

        return add

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._values)

    def values(self) -> list[T]:
        """Return all values, in the order in which they were registered."""
        return list(self._values.values())

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> T:
        """Return the value of that name.

        Raises:
            UnknownNameError: nothing has it; the message offers close matches.
        """
        if name not in self._values:
            raise UnknownNameError(self.kind, name, self._values)
        return self._values[name]
