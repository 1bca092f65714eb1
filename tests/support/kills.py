"""Processes that a signal ends before each of their steps in a folder, one after another."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

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
        child = _forked(work, partial(_die_at, step, place, number, steps))
        if not _was_killed(child, number):
            assert step > 1, "no step was seen"
            return
        yield step


def killed_at_moments(
    work: Callable[[], object], seconds: Iterable[float], number: signal.Signals
) -> Iterator[float]:
    """Call ``work`` in a child process that gets a signal after so many seconds, for each.

    Yields them when the child has ended, by the signal or by itself.
    """
    for moment in seconds:
        child = _forked(work)
        time.sleep(moment)
        os.kill(child, number)
        _was_killed(child, number)
        yield moment


def run_whole(work: Callable[[], object]) -> float:
    """Call ``work`` in a child process; return the seconds that it took."""
    started = time.perf_counter()
    assert not _was_killed(_forked(work), signal.SIGKILL)
    return time.perf_counter() - started


def _forked(work: Callable[[], object], before: Callable[[], None] = lambda: None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of others stay behind
        child = os.fork()
    if not child:
        before()
        _run(work)
    return child


def _was_killed(child: int, number: signal.Signals) -> bool:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -number, 128 + number), f"ended with {code}"
    return code != 0


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
    except SystemExit as stop:
        code = int(stop.code or 0)
    except KeyboardInterrupt:
        code = 128 + signal.SIGTERM
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)
