"""Registries of values by name, and public names that are imported on first use."""

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
        kind: the kind as messages name it, such as ``strategy``.
        package: the package whose modules register the values. The first lookup imports all of
            them: adding a value takes one new file and no other change.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._values: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a value under ``name``.

        Raises:
            ValueError: another value has this name.
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
            UnknownNameError: the name is not registered; the message suggests close matches.
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
        package: the package's name, for errors.
        homes: for each module, the names imported from it.
    """
    module_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(module_of[name]), name)

    return get
