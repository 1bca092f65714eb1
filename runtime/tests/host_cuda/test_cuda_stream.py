"""A stream that is made without PyCUDA, for libraries that take one."""

from __future__ import annotations

import threading

import numpy as np
import pycuda.driver as cuda
import pytest
from edgeexit_runtime.backends.cuda.context import PrimaryContext
from edgeexit_runtime.backends.cuda.stream import CudaStream, open_stream
from edgeexit_runtime.errors import BackendError
from host_driver import HostDriver


def opened() -> CudaStream:
    stream = open_stream()
    assert stream is not None
    return stream


def test_it_is_waited_for_and_freed(driver: HostDriver) -> None:
    stream = opened()
    assert driver.counts().streams == 1
    assert driver.depth() == 0
    context = PrimaryContext()
    done: list[int] = []
    with context:
        driver.enqueue(stream.handle, lambda: done.append(1), [])
    assert done == []
    stream.synchronize()
    assert done == [1]
    assert driver.depth() == 0
    stream.close()
    stream.close()
    context.release()


@pytest.mark.parametrize(
    "function", ["cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuStreamCreate"]
)
def test_without_a_device_there_is_none(driver: HostDriver, function: str) -> None:
    driver.fail(1, function)
    assert open_stream() is None
    assert not driver.failure_waits()


def test_a_failed_run_is_said(driver: HostDriver) -> None:
    stream = opened()
    driver.fail(1, "cuStreamSynchronize", 700)
    with pytest.raises(BackendError, match="CUDA: error 700"):
        stream.synchronize()
    stream.close()


def test_the_default_stream_of_other_libraries_does_not_wait_for_it(driver: HostDriver) -> None:
    stream, context, done = opened(), PrimaryContext(), []
    with context:
        memory = cuda.mem_alloc(4)
        driver.enqueue(stream.handle, lambda: done.append(1), [])
        cuda.memcpy_htod(memory, np.zeros(4, np.uint8))
        assert done == []
        memory.free()
    stream.synchronize()
    stream.close()
    context.release()


def test_each_thread_pushes_the_context_once(driver: HostDriver) -> None:
    """Also while another thread is within it."""
    context, depths = PrimaryContext(), []

    def work() -> None:
        with context, context:
            depths.append(driver.depth())
        depths.append(driver.depth())

    with context:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        depths.append(driver.depth())
    context.release()
    assert depths == [1, 0, 1]
