"""Forks: a child has its parent's memory, but only the thread that forked.

Code that waits for another thread, or for a device, waits for ever there.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from typing import Protocol


class Forked(Protocol):
    """An object that must be notified in a forked child."""

    def was_forked(self) -> None:
        """Called in the child before any other code."""


_alive: weakref.WeakSet[Forked] = weakref.WeakSet()


def notify_when_forked(thing: Forked) -> None:
    """Call ``thing.was_forked()`` in every child that is forked while ``thing`` is alive."""
    _alive.add(thing)


def never_free(thing: object) -> None:
    """Keep ``thing`` alive through the end of the process, so that its destructors never run.

    A freed engine waits for its threads, or crashes without them.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _notify() -> None:
    for thing in _alive:
        thing.was_forked()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_notify)
