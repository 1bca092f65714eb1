"""Processes that a signal ends before each of their steps in a folder, one after another."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from itertools import count
from pathlib import Path

__all__ = ["RENAMES", "STEPS", "killed_at_each_step"]

RENAMES = ("os.rename",)
ANYWHERE = ("fcntl.flock", "os.truncate", "shutil.rmtree", "ctypes.dlsym")
STEPS = (*ANYWHERE, *RENAMES, "open", "os.mkdir", "os.remove", "os.rmdir")
"""Audited events, see https://docs.python.org/3/library/audit_events.html."""


def killed_at_each_step(
    work: Callable[[], object],
    place: Path,
    number: signal.Signals = signal.SIGKILL,
    steps: Collection[str] = STEPS,
) -> Iterator[int]:
    """Call ``work`` in a child process that gets a signal before its n-th step within ``place``.

    Yields n = 1, 2, ... when the child has ended, until one has ended by itself without a failure.
    """
    for step in count(1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of others stay behind
            child = os.fork()
        if not child:
            _die_at(step, place, number, steps)
            _run(work)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            assert step > 1, "no step was seen"
            return
        yield step


def _die_at(step: int, place: Path, number: signal.Signals, steps: Collection[str]) -> None:
    counted = count(1)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in steps and _is_in(place, event, arguments) and next(counted) == step:
            os.kill(os.getpid(), number)

    sys.addaudithook(watch)


def _is_in(place: Path, event: str, arguments: tuple[object, ...]) -> bool:
    if event in ANYWHERE:
        return True
    in_an_open_folder = event != "open" and arguments[-1] != -1  # as rmtree goes through it
    return in_an_open_folder or str(arguments[0]).startswith(str(place))


def _run(work: Callable[[], object]) -> None:
    """Leave with 0, 143 where a signal was answered, or 1; nothing of the parent's is unwound."""
    code = 1
    try:
        work()
        code = 0
    except KeyboardInterrupt:
        code = 143
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
