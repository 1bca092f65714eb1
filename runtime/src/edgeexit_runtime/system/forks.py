"""Forks: a child has the memory of its parent, but of its threads the one that forked alone.

Whatever waits for another thread, or for a device, waits for ever there.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from typing import Protocol


class Forked(Protocol):
    """What wants to know that it is in a child now."""

    def was_forked(self) -> None:
        """Called in the child before anything else is done there."""


_alive: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_when_forked(thing: Forked) -> None:
    """Call ``thing.was_forked()`` in every child that is forked as long as ``thing`` is alive."""
    _alive.add(thing)


def never_free(thing: object) -> None:
    """Keep ``thing`` until the process ends, and through that: nothing of it is torn down.

    An engine waits for its threads when it is freed, or crashes without them.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _tell() -> None:
    for thing in _alive:
        thing.was_forked()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_tell)
