"""The host's CUDA driver, as Python sees it beside PyCUDA: counts, failures, operations."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LIBRARY_VARIABLE = "EDGEEXIT_HOST_CUDA"
"""Names the library; the tests of this folder are collected where it is set."""

CUDA_ERROR_LAUNCH_FAILED = 719

Function = ctypes.CFUNCTYPE(None, ctypes.c_long)


class _Range(ctypes.Structure):
    _fields_ = (("address", ctypes.c_uint64), ("bytes", ctypes.c_size_t))


class _Counts(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_long)
        for name in (
            *("device_allocations", "device_bytes", "peak_bytes", "pinned_allocations"),
            *("streams", "events", "graphs", "graph_execs", "contexts", "waiting"),
        )
    )


@dataclass(frozen=True)
class Counts:
    """What is alive, and how many operations wait in streams."""

    device_allocations: int
    device_bytes: int
    pinned_allocations: int
    streams: int
    events: int
    graphs: int
    graph_execs: int
    contexts: int
    waiting: int


class HostDriver:
    """The library's functions that no driver has."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._functions: list[object] = []  # that operations and graphs may call
        library.host_cuda_resolve.restype = ctypes.c_void_p
        library.host_cuda_room.restype = ctypes.c_longlong
        library.host_cuda_calls.restype = ctypes.c_long
        for name, types in {
            "host_cuda_resolve": [ctypes.c_uint64, ctypes.c_size_t],
            "host_cuda_room": [ctypes.c_uint64],
            "host_cuda_fail": [ctypes.c_char_p, ctypes.c_long, *2 * (ctypes.c_int,)],
            "host_cuda_calls": [ctypes.c_char_p],
            "host_cuda_set_total_memory": [ctypes.c_size_t],
            "host_cuda_set_cached_memory": [ctypes.c_size_t],
            "host_cuda_set_integrated": [ctypes.c_int],
            "host_cuda_captures": [ctypes.c_void_p],
            "host_cuda_break_capture": [ctypes.c_void_p],
            "host_cuda_enqueue": [
                *(ctypes.c_void_p, Function, ctypes.c_long),
                *(ctypes.POINTER(_Range), ctypes.c_int),
            ],
        }.items():
            getattr(library, name).argtypes = types

    def counts(self) -> Counts:
        counts = _Counts()
        self._library.host_cuda_counts(ctypes.byref(counts))
        return Counts(*(getattr(counts, name) for name in Counts.__dataclass_fields__))

    def forget_functions(self) -> None:
        """Free what was enqueued, where no operation waits and no graph is left."""
        counts = self.counts()
        if not (counts.waiting or counts.graphs or counts.graph_execs):
            self._functions.clear()

    def calls(self, function: str) -> int:
        """How often a function of the driver was called."""
        calls: int = self._library.host_cuda_calls(function.encode())
        return calls

    @contextmanager
    def counted(self, *functions: str) -> Iterator[dict[str, int]]:
        """How often functions of the driver are called within ``with``, to be read behind it."""
        before = {name: self.calls(name) for name in functions}
        made: dict[str, int] = {}
        yield made
        made |= {name: self.calls(name) - calls for name, calls in before.items()}

    def fail(
        self,
        n: int,
        function: str | None = None,
        error: int = CUDA_ERROR_LAUNCH_FAILED,
        *,
        for_good: bool = False,
    ) -> None:
        """Let the n-th call from now fail: of one function, or of all that may; 0 for none.

        ``for_good``: and everything behind it, as after an illegal address.
        """
        name = None if function is None else function.encode()
        self._library.host_cuda_fail(name, n, error, for_good)

    def recover(self) -> None:
        """Have a device back that was lost, which no process can."""
        self._library.host_cuda_recover()

    def failure_waits(self) -> bool:
        return bool(self._library.host_cuda_fail_is_waiting())

    def depth(self) -> int:
        """How many contexts this thread has pushed."""
        depth: int = self._library.host_cuda_depth()
        return depth

    def set_total_memory(self, size_bytes: int) -> None:
        self._library.host_cuda_set_total_memory(size_bytes)

    def set_cached_memory(self, size_bytes: int) -> None:
        """Let so much of the memory be had, but not be counted as free."""
        self._library.host_cuda_set_cached_memory(size_bytes)

    def set_integrated(self, is_integrated: bool) -> None:
        """Whether the device has the host's memory, and none of its own."""
        self._library.host_cuda_set_integrated(is_integrated)

    def room(self, address: int) -> int:
        """Bytes from here to the end of the allocation, -1 where it is in none that lives."""
        room: int = self._library.host_cuda_room(address)
        return room

    def resolve(self, address: int, size_bytes: int) -> int:
        """The host's address of device memory, inside of an operation."""
        host: int = self._library.host_cuda_resolve(address, size_bytes)
        return host

    def captures(self, stream: int) -> bool:
        return bool(self._library.host_cuda_captures(stream))

    def break_capture(self, stream: int) -> None:
        self._library.host_cuda_break_capture(stream)

    def enqueue(
        self, stream: int, function: Callable[[], None], ranges: list[tuple[int, int]]
    ) -> int:
        """Call ``function`` when its turn comes in a stream; it uses this device memory."""
        wrapped = Function(lambda _: function())
        self._functions.append(wrapped)
        array = (_Range * len(ranges))(*ranges)
        result: int = self._library.host_cuda_enqueue(stream, wrapped, 0, array, len(ranges))
        return result


def open_driver() -> HostDriver:
    """Load the library under the driver's name, before anything loads a real one."""
    return HostDriver(ctypes.CDLL(os.environ[LIBRARY_VARIABLE], mode=ctypes.RTLD_GLOBAL))
