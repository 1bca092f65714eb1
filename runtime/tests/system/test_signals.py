"""SIGTERM and SIGHUP end a process as Ctrl-C does, once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from edgeexit_runtime.system.signals import StopSignals

stopping = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])


@stopping
def test_signal_raises_and_is_told(number: signal.Signals) -> None:
    with StopSignals() as stop:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # 'timeout' sends two: what is cleaned up goes on
        assert stop.received == number
        assert stop.cause == f"ended by {number.name}"
        assert stop.exit_code == 128 + number
    assert signal.getsignal(number) == signal.SIG_DFL


@stopping
def test_one_that_comes_within_a_finalizer_is_not_lost(number: signal.Signals) -> None:
    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    hook = sys.unraisablehook
    with StopSignals() as stop:
        Finalized()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(10)
        assert stop.received == number
    assert sys.unraisablehook is hook


def test_other_errors_of_finalizers_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finalized:
        def __del__(self) -> None:
            raise ValueError

    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: told.append(it.exc_type))
    with StopSignals():
        Finalized()
    assert told == [ValueError]


def test_ctrl_c_is_as_ever() -> None:
    with StopSignals() as stop, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert (stop.received, stop.cause, stop.exit_code) == (None, "interrupted", 130)


@stopping
@pytest.mark.parametrize("before", [signal.SIG_IGN, lambda *_: None])
def test_what_was_ignored_or_handled_before_stays_so(
    number: signal.Signals, before: object
) -> None:
    signal.signal(number, before)  # type: ignore[arg-type]
    try:
        with StopSignals() as stop:
            os.kill(os.getpid(), number)
            assert stop.received is None
        assert signal.getsignal(number) is before
    finally:
        signal.signal(number, signal.SIG_DFL)


def test_worker_that_was_forked_dies_as_it_would_have() -> None:
    ready, tell_ready = os.pipe()
    with StopSignals():
        worker = os.fork()
        if not worker:
            try:
                os.write(tell_ready, b".")  # until then, Python drops signals of its parent
                signal.pause()
            finally:
                os._exit(1)
        os.read(ready, 1)
        os.kill(worker, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM
    os.close(ready)
    os.close(tell_ready)


def test_outside_the_main_thread_nothing_is_changed() -> None:
    seen = []

    def enter() -> None:
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
