"""TensorRT's classes over ONNX Runtime's CUDA kernels, where no TensorRT at hand knows the GPU.

What they cannot show is TensorRT itself. All else of a session is real: contexts, streams, pinned
memory, the capture of other libraries' kernels in CUDA graphs, their replay, the copies and waits.
"""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from edgeexit_runtime.backends.cuda.device import find_gpu

sys.path.insert(0, str(Path(__file__).parents[1] / "host_cuda"))

from engine_records import write_engines
from tensorrt_double import (
    TYPES,
    EngineSpec,
    ICudaEngine,
    IExecutionContext,
    ILogger,
    Runtime,
    World,
    make_module,
)

ENQUEUE_ONLY = "disable_synchronize_execution_providers"  # of a run: do not wait at its end


class _Anywhere:
    """In the place of the host's driver: nothing is looked up in it."""

    def room(self, address: int) -> int:
        return sys.maxsize

    def captures(self, stream: int) -> bool:
        return False


class CudaEngine(ICudaEngine):
    """An engine that keeps its ONNX file: every context opens it for its own stream."""

    def __init__(self, runtime: Runtime, spec: EngineSpec, onnx: bytes, weights: int) -> None:
        super().__init__(runtime, spec, onnx, weights)
        self._onnx = onnx


class CudaContext(IExecutionContext):
    """An execution context that enqueues ONNX Runtime's kernels into the caller's stream."""

    _session: Any = None
    _binding: Any = None
    _bound: Any = None

    def execute_async_v3(self, stream_handle: int) -> bool:
        try:
            if self._session is None:
                self._session = self._open(stream_handle)
            ranges = self._ranges()
            if self._bound != ranges:
                self._bound, self._binding = ranges, self._bind(ranges)
            options = onnxruntime.RunOptions()
            options.add_run_config_entry(ENQUEUE_ONLY, "1")
            self._session.run_with_iobinding(self._binding, options)
        except Exception as error:  # onnxruntime's own have no common base but this
            self._world.log(ILogger.Severity.ERROR, str(error))
            return False
        return True

    def _open(self, stream_handle: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        settings = {
            "user_compute_stream": str(stream_handle),
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": "0",
        }
        providers = [("CUDAExecutionProvider", settings)]
        onnx = self._engine._onnx  # type: ignore[attr-defined]
        return onnxruntime.InferenceSession(onnx, options, providers=providers)

    def _bind(self, ranges: dict[str, tuple[int, int]]) -> Any:
        binding = self._session.io_binding()
        (batch,) = {shape[0] for shape in self._shapes.values()}
        for name, (is_input, tensor) in self._engine._tensors().items():
            shape = self._engine.get_tensor_shape(name)
            shape = [batch if size == -1 else size for size in shape]
            bind = binding.bind_input if is_input else binding.bind_output
            dtype = TYPES[tensor.type][1]
            bind(name, "cuda", 0, np.dtype(dtype).type, shape, ranges[name][0])
        return binding


@functools.cache
def make_cuda_module() -> types.ModuleType:
    """Return the ``tensorrt`` of this process that runs the engines of ``engine_records``."""
    world = World(_Anywhere())  # type: ignore[arg-type]
    module: Any = make_module("tensorrt", world)
    context = type("IExecutionContext", (CudaContext,), {})
    engine = type("ICudaEngine", (CudaEngine,), {"_context": context})
    module.Runtime._engine = module.ICudaEngine = engine
    module.IExecutionContext = context
    return module


def write_cuda_engines(folder: Path) -> None:
    """Give a bundle engines of the stand-in for the GPU that is here."""
    gpu = find_gpu()
    assert gpu is not None, "no CUDA device"
    write_engines(folder, gpu=gpu.name, capability=gpu.compute_capability)
