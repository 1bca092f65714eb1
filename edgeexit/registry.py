"""Things by name: words of a command line, and public names that are imported when used."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from edgeexit.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Values of one kind by name.

    Args:
        kind: what messages call one of them, such as ``strategy``.
        package: the folder whose files register them; the first lookup imports them all, so that
            a new value is a new file there and no other file changes.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._values: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a value under ``name``.

        Raises:
            ValueError: another value has the name.
        """

        def add(value: T) -> T:
            known = self._values.setdefault(name, value)
            if known != value:
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")
            return value

        return add

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._all())

    def values(self) -> list[T]:
        """Return all values, in the order in which they were registered."""
        return list(self._all().values())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __getitem__(self, name: str) -> T:
        """Return the value of that name.

        Raises:
            UnknownNameError: nothing has it; the message offers close matches.
        """
        values = self._all()
        if name not in values:
            raise UnknownNameError(self.kind, name, values)
        return values[name]

    def _all(self) -> dict[str, T]:
        if self._package is not None:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._package = None
        return self._values


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package (PEP 562).

    Args:
        package: its name, for errors.
        homes: by module, the names that come from it.
    """
    module_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(module_of[name]), name)

    return get
