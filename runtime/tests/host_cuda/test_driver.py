"""The driver itself, through unmodified PyCUDA: how lazy and how strict it is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pycuda.driver as cuda
import pytest
from host_driver import HostDriver

START = """
import numpy as np
from host_driver import open_driver
driver = open_driver()
import pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).retain_primary_context()
context.push()
stream = cuda.Stream(1)
device = cuda.mem_alloc(64)
pinned = cuda.pagelocked_zeros(64, np.uint8)
pageable = np.zeros(64, np.uint8)
"""


@pytest.fixture
def context(driver: HostDriver) -> Iterator[cuda.Context]:
    """A context of PyCUDA's own, current, and gone after the test."""
    cuda.init()
    context = cuda.Device(0).make_context()
    yield context
    context.pop()
    context.push()
    context.detach()


def abort_of(code: str) -> str:
    """Run ``code`` in a process of its own, which has to abort; return the message."""
    result = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert result.returncode < 0, f"it did not abort: {result.stdout}{result.stderr}"
    lines = [line for line in result.stderr.splitlines() if line.startswith("host CUDA: ")]
    return lines[0].removeprefix("host CUDA: ") if lines else f"signal {-result.returncode}"


def test_asynchronous_copies_wait_for_the_stream_to_be_synchronized(context: cuda.Context) -> None:
    stream = cuda.Stream(1)
    device = cuda.mem_alloc(16)
    source, target = cuda.pagelocked_empty(4, np.float32), cuda.pagelocked_zeros(4, np.float32)
    source[:] = 1
    cuda.memcpy_htod_async(device, source, stream)
    source[:] = 2  # too early: the copy has not been made
    cuda.memcpy_dtoh_async(target, device, stream)
    assert target.tolist() == [0] * 4
    stream.synchronize()
    assert target.tolist() == [2] * 4


def test_waiting_for_an_event_is_waiting_for_what_was_before_it(context: cuda.Context) -> None:
    stream = cuda.Stream(1)
    device = cuda.mem_alloc(16)
    source, before, behind = (cuda.pagelocked_zeros(4, np.float32) for _ in range(3))
    source[:] = 1
    event = cuda.Event()
    cuda.memcpy_htod_async(device, source, stream)
    cuda.memcpy_dtoh_async(before, device, stream)
    event.record(stream)
    cuda.memcpy_dtoh_async(behind, device, stream)
    assert not event.query()
    event.synchronize()
    assert (before.tolist(), behind.tolist()) == ([1] * 4, [0] * 4)
    assert event.query()
    stream.synchronize()
    assert behind.tolist() == [1] * 4


def test_synchronous_copies_do_not_wait_for_streams_of_their_own(context: cuda.Context) -> None:
    stream = cuda.Stream(1)
    device = cuda.mem_alloc(16)
    source, target = cuda.pagelocked_empty(4, np.float32), np.zeros(4, np.float32)
    cuda.memcpy_htod(device, np.zeros(4, np.float32))
    source[:] = 1
    cuda.memcpy_htod_async(device, source, stream)
    cuda.memcpy_dtoh(target, device)
    assert target.tolist() == [0] * 4
    blocking = cuda.Stream()
    cuda.memcpy_htod_async(device, source, blocking)
    cuda.memcpy_dtoh(target, device)
    assert target.tolist() == [1] * 4
    cuda.Context.synchronize()


def test_the_device_has_its_own_address_of_mapped_memory(
    driver: HostDriver, context: cuda.Context
) -> None:
    flags = cuda.host_alloc_flags.DEVICEMAP
    mapped = cuda.pagelocked_empty(4, np.float32, mem_flags=flags)
    address = mapped.base.get_device_pointer()
    assert address != mapped.ctypes.data
    assert driver.room(address + 4) == 12
    source = cuda.mem_alloc(16)
    cuda.memcpy_htod(source, np.arange(4, dtype=np.float32))
    stream = cuda.Stream(1)
    cuda.memcpy_dtod_async(address, source, 16, stream)
    assert mapped.tolist() != [0, 1, 2, 3]
    stream.synchronize()
    assert mapped.tolist() == [0, 1, 2, 3]
    mapped.base.free()
    assert driver.room(address) == -1
    with pytest.raises(cuda.Error, match="invalid argument"):
        cuda.pagelocked_empty(4, np.float32).base.get_device_pointer()


def test_new_memory_holds_no_zeros(context: cuda.Context) -> None:
    values = np.zeros(4, np.float32)
    cuda.memcpy_dtoh(values, cuda.mem_alloc(16))
    assert (values != 0).all()
    assert (cuda.pagelocked_empty(4, np.float32) != 0).all()


def test_more_memory_than_there_is(driver: HostDriver, context: cuda.Context) -> None:
    driver.set_total_memory(1000)
    device = cuda.mem_alloc(600)
    with pytest.raises(cuda.MemoryError):
        cuda.mem_alloc(600)
    device.free()
    cuda.mem_alloc(600).free()


def test_functions_that_are_not_there_say_so(context: cuda.Context) -> None:
    with pytest.raises(cuda.Error, match="not supported"):
        cuda.mem_alloc_pitch(8, 8, 4)


def test_what_lives_is_counted(driver: HostDriver, context: cuda.Context) -> None:
    before = driver.counts()
    device, pinned = cuda.mem_alloc(100), cuda.pagelocked_empty(100, np.uint8)
    stream, event = cuda.Stream(), cuda.Event()
    counts = driver.counts()
    assert counts.device_allocations == before.device_allocations + 1
    assert counts.device_bytes == before.device_bytes + 100
    assert counts.pinned_allocations == before.pinned_allocations + 1
    assert counts.streams == before.streams + 1
    assert counts.events == before.events + 1
    device.free()
    pinned.base.free()
    del stream, event
    assert driver.counts() == before


def test_operations_run_in_their_turn(driver: HostDriver, context: cuda.Context) -> None:
    stream = cuda.Stream(1)
    done: list[str] = []
    device = cuda.mem_alloc(16)
    driver.enqueue(stream.handle, lambda: done.append("first"), [(int(device), 16)])
    driver.enqueue(stream.handle, lambda: done.append("second"), [])
    assert done == []
    stream.synchronize()
    assert done == ["first", "second"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("cuda.memcpy_htod(device, np.zeros(65, np.uint8))", "1 behind the end of its 64 bytes"),
        ("cuda.memcpy_htod(int(device) + 1, pageable)", "1 behind the end of its 64 bytes"),
        ("cuda.memcpy_htod(4096, pageable)", "0x1000 is in no device memory"),
        ("x = int(device); device.free(); cuda.memcpy_htod(x, pageable)", "is freed"),
        (
            "cuda.memcpy_dtod_async(int(device) + 32, int(device), 33, stream)",
            "1 behind the end of its 64 bytes",
        ),
        (
            "cuda.memcpy_dtod_async(int(device) + 4, int(device), 8, stream)",
            "copies 8 bytes over themselves",
        ),
        ("cuda.memcpy_htod_async(device, pageable, stream)", "that is not pinned"),
        ("cuda.memcpy_dtoh_async(pageable, device, stream)", "that is not pinned"),
        (
            "cuda.memcpy_htod_async(device, pinned, stream); device.free()",
            "an operation that waits in a stream uses",
        ),
        (
            "cuda.memcpy_htod_async(device, pinned, stream); pinned.base.free()",
            "an operation that waits in a stream uses",
        ),
        (
            "mapped = cuda.pagelocked_empty(64, np.uint8, mem_flags=2); "
            "x = mapped.base.get_device_pointer(); "
            "cuda.memcpy_dtod_async(device, x, 64, stream); mapped.base.free()",
            "an operation that waits in a stream uses",
        ),
        (
            "mapped = cuda.pagelocked_empty(64, np.uint8, mem_flags=2); "
            "cuda.memcpy_dtod_async(device, mapped.base.get_device_pointer() + 1, 64, stream)",
            "1 behind the end of its 64 bytes",
        ),
        (
            "x = pinned[:]; pinned.base.free(); cuda.memcpy_htod_async(device, x, stream)",
            "is freed",
        ),
        ("cuda.memcpy_htod_async(device, pinned, stream); del stream", "operations wait in it"),
        ("driver.enqueue(stream.handle, print, [(int(device), 65)])", "1 behind the end"),
        (
            "other = cuda.Device(0).make_context(); cuda.memcpy_htod(device, pageable)",
            "is of another context",
        ),
        ("import ctypes; ctypes.string_at(int(device), 1)", "signal 11"),
    ],
)
def test_what_is_undefined_on_a_gpu_aborts(code: str, message: str) -> None:
    assert message in abort_of(code)


def test_pycuda_leaves_a_detached_primary_context_on_the_drivers_stack(driver: HostDriver) -> None:
    """Why the runtime takes it off by itself; this fails once PyCUDA does."""
    code = """
        context.detach()
        assert cuda.Context.get_current() is None
        assert driver.depth() == 1
        import os; os.abort()
    """
    assert abort_of(code) == "signal 6"
