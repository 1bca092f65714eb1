"""Signals that ask a process to end, handled like Ctrl-C so that unfinished work is cleaned up."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOPPING = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
RESEND_S = 0.05  # finalizers take less


class StopSignals:
    """Within the block, the first SIGTERM or SIGHUP raises KeyboardInterrupt.

    Further ones are ignored: ``timeout`` and others send two. A signal that was ignored or
    handled before, such as SIGHUP under ``nohup``, is left alone, and outside the main thread
    nothing is changed. Python drops exceptions of finalizers; the signal is then sent again.

    Attributes:
        received: the signal received; None before, and for Ctrl-C.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._process = os.getpid()
        self._handled: list[signal.Signals] = []
        self._hook = sys.unraisablehook

    @property
    def cause(self) -> str:
        """What stopped the process: ``interrupted`` or ``ended by SIGTERM``."""
        return "interrupted" if self.received is None else f"ended by {self.received.name}"

    @property
    def exit_code(self) -> int:
        """A shell's exit code for a process stopped by this signal: 143 for SIGTERM, 130 Ctrl-C."""
        return 128 + (self.received or signal.SIGINT)

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in STOPPING if hasattr(signal, name)):
                if signal.getsignal(number) == signal.SIG_DFL:
                    self._handled.append(number)
                    signal.signal(number, self._stop)
        if self._handled:
            self._hook, sys.unraisablehook = sys.unraisablehook, self._dropped
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._handled:
            sys.unraisablehook = self._hook
        for number in self._handled:
            signal.signal(number, signal.SIG_DFL)

    def _dropped(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Send the signal again if its KeyboardInterrupt was dropped in a finalizer."""
        if unraisable.exc_type is not KeyboardInterrupt or self.received is None:
            self._hook(unraisable)
            return
        number, self.received = self.received, None
        resend = threading.Timer(RESEND_S, os.kill, (os.getpid(), number))
        resend.daemon = True
        resend.start()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked worker ends as without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.received is None:
            self.received = signal.Signals(number)
            raise KeyboardInterrupt


class _SignalStack(ctypes.Structure):
    """Linux's ``stack_t``, see sigaltstack(2)."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Restore this thread's signal stack after the block.

    Python's handlers run on any stack that a library has set for signals. If the library has freed
    that stack, the next signal ends the process.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
