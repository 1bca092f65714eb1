"""Contexts, memory and graphs of CUDA through PyCUDA, on a real device."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.errors import BackendError

pytestmark = pytest.mark.gpu

MIB = 2**20
NON_BLOCKING = 1


def test_memory_is_given_back(context: Any) -> None:
    import pycuda.driver as cuda
    from edgeexit_runtime.backends.cuda.memory import CudaMemory

    with context:
        before = cuda.mem_get_info()[0]
        memory = CudaMemory()
        addresses = [memory.device(64 * MIB) for _ in range(4)]
        pinned = memory.pinned((16 * MIB,), np.uint8)
        pinned[:] = 7
        taken = before - cuda.mem_get_info()[0]
        memory.close()
        left = before - cuda.mem_get_info()[0]
    assert all(address % 256 == 0 for address in addresses)
    assert taken >= 256 * MIB
    assert left < 4 * MIB  # others may use the device too


def test_too_much_memory_is_refused_before_it_is_taken(context: Any) -> None:
    from edgeexit_runtime.backends.cuda.memory import require_free_memory

    with context, pytest.raises(BackendError, match=r"features: needs .* MiB of device memory"):
        require_free_memory(2**50, "features")


@pytest.fixture
def memory(context: Any) -> Iterator[Any]:
    """Memory of a context that is pushed during the test."""
    from edgeexit_runtime.backends.cuda.memory import CudaMemory

    with context:
        memory = CudaMemory()
        yield memory
        memory.close()


@pytest.fixture
def stream(memory: Any) -> Any:
    """A stream in the same context."""
    import pycuda.driver as cuda

    return cuda.Stream(NON_BLOCKING)


def test_a_graph_does_again_what_was_captured(memory: Any, stream: Any) -> None:
    import pycuda.driver as cuda
    from edgeexit_runtime.backends.cuda.graph import CudaGraph

    source, target = (memory.pinned((1000,), np.float32) for _ in range(2))
    device = memory.device(4000)

    def work() -> None:
        cuda.memcpy_htod_async(device, source, stream)
        cuda.memcpy_dtoh_async(target, device, stream)

    target[:] = -1
    graph = CudaGraph(stream.handle, work)
    assert (target == -1).all()  # captured, not run
    for value in range(1, 20):
        source[:] = value
        graph.launch(stream.handle)
        stream.synchronize()
        assert (target == value).all()
    graph.close()


def test_a_call_that_cannot_be_captured_leaves_the_stream_usable(memory: Any, stream: Any) -> None:
    import pycuda.driver as cuda
    from edgeexit_runtime.backends.cuda.graph import CaptureError, CudaGraph

    pinned, device = memory.pinned((10,), np.float32), memory.device(40)
    with pytest.raises(CaptureError) as caught:
        CudaGraph(stream.handle, stream.synchronize)
    sys.stdout.write(f"\nwaiting within a capture: {caught.value}\n")
    pinned[:] = 3
    cuda.memcpy_htod_async(device, pinned, stream)
    stream.synchronize()


def test_another_thread_may_allocate_while_work_is_captured(
    context: Any, memory: Any, stream: Any
) -> None:
    import pycuda.driver as cuda
    from edgeexit_runtime.backends.cuda.graph import CudaGraph

    wrong: list[str] = []

    def allocate() -> None:
        try:
            with context:
                for _ in range(50):
                    cuda.mem_alloc(MIB).free()
        except BaseException as error:
            wrong.append(repr(error))

    pinned, device = memory.pinned((MIB,), np.uint8), memory.device(MIB)

    def work() -> None:
        other = threading.Thread(target=allocate)
        other.start()
        cuda.memcpy_htod_async(device, pinned, stream)
        other.join()

    graph = CudaGraph(stream.handle, work)
    graph.launch(stream.handle)
    stream.synchronize()
    graph.close()
    assert wrong == []


def test_torch_goes_on_in_the_same_context() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no CUDA here")
    from edgeexit_runtime.backends.cuda.context import PrimaryContext
    from edgeexit_runtime.backends.cuda.memory import CudaMemory

    ours = torch.ones(1000, device="cuda")
    context = PrimaryContext()
    with context:
        memory = CudaMemory()
        memory.device(MIB)
        assert float((ours * 2).sum()) == 2000
        memory.close()
    context.release()
    assert float((ours * 3).sum()) == 3000
