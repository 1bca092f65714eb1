"""A double of TensorRT's runtime classes, as strict as their documentation.

An engine is an ONNX file with a few lines before it, and onnxruntime runs it on the host's CUDA
driver, when its turn comes in a stream. Wrong use raises :class:`MisuseError`, also such that a
GPU would forgive. A class here has no public attribute that the real one does not have;
``test_tensorrt_api.py`` compares them.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.machinery
import json
import types
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
from host_driver import HostDriver

VERSIONS = {"tensorrt": "10.3.0", "tensorrt-rtx": "1.7.0"}
MAGIC = b"engine of the double\n"
ALIGNMENT = 256
GARBAGE = 0x5A
CACHE_HEAD = "cache of the double"


class MisuseError(AssertionError):
    """The library is used as its documentation forbids."""


def require(holds: bool, message: str) -> None:
    if not holds:
        raise MisuseError(message)


@dataclass(frozen=True)
class EngineSpec:
    """What the double is told of an engine; the sizes are of this double's choice."""

    max_batch: int
    min_batch: int = 1
    scratch_bytes: int = 1000
    weight_bytes: int = 3000


def engine_bytes(onnx: bytes, spec: EngineSpec) -> bytes:
    """Return what ``deserialize_cuda_engine`` of the double takes."""
    return MAGIC + json.dumps(asdict(spec)).encode() + b"\n" + onnx


class World:
    """What the double's objects share: the driver, what is alive, what went wrong."""

    def __init__(self, driver: HostDriver) -> None:
        self.driver = driver
        self.libcuda = ctypes.CDLL("libcuda.so.1")
        self.alive: dict[str, int] = {"runtime": 0, "engine": 0, "context": 0}
        self.failures: list[str] = []  # in operations and destructors, which cannot raise
        self.runs = 0  # that were executed
        self.compiled = 0  # kernels, where no cache had them
        self.refuse_in = 0  # the n-th call of execute_async_v3 from now is refused
        self.refuse_shape_in = 0  # and of set_input_shape
        self.can_capture = True
        self.spoil_captures = 0  # so many from now on, as another thread's call may do
        self.has_error = False  # of a capture that failed, which the next launch finds
        self.on_run: Callable[[int, bool], None] = lambda stream, captured: None
        self.logger: weakref.ref[ILogger] | None = None

    def log(self, severity: int, message: str) -> None:
        """Tell the first logger of the process, whoever it belongs to (NVIDIA/TensorRT#4134)."""
        logger = self.logger() if self.logger is not None else None
        if logger is None:
            self.failures.append(f"a logger that is gone would have been told: {message}")
        else:
            logger.log(severity, message)

    def count(self, kind: str, change: int) -> None:
        self.alive[kind] += change


class ILogger:
    class Severity:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None:
        pass

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


class _Member:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def _members(title: str, *names: str) -> type:
    return type(title, (), {name: _Member(f"{title}.{name}") for name in names})


TensorIOMode = _members("TensorIOMode", "NONE", "INPUT", "OUTPUT")
TensorLocation = _members("TensorLocation", "DEVICE", "HOST")
TensorFormat = _members("TensorFormat", "LINEAR", "CHW4")
DataType = _members("DataType", "FLOAT", "HALF", "INT32", "INT64", "BOOL")
ExecutionContextAllocationStrategy = _members(
    "ExecutionContextAllocationStrategy", "STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED"
)
DynamicShapesKernelSpecializationStrategy = _members(
    "DynamicShapesKernelSpecializationStrategy", "LAZY", "EAGER", "NONE"
)
TYPES = {
    "tensor(float)": (DataType.FLOAT, np.dtype(np.float32)),
    "tensor(float16)": (DataType.HALF, np.dtype(np.float16)),
    "tensor(int32)": (DataType.INT32, np.dtype(np.int32)),
    "tensor(int64)": (DataType.INT64, np.dtype(np.int64)),
    "tensor(bool)": (DataType.BOOL, np.dtype(np.bool_)),
}


class Runtime:
    _world: World
    _engine: type[ICudaEngine]

    def __init__(self, logger: ILogger) -> None:
        require(isinstance(logger, ILogger), "a runtime needs a logger")
        self._logger = logger
        if self._world.logger is None:
            self._world.logger = weakref.ref(logger)
        elif self._world.logger() is not logger:
            self._world.log(ILogger.Severity.WARNING, "another logger than the first is ignored")
        self._world.count("runtime", 1)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        magic, _, rest = serialized_engine.partition(b"\n")
        if magic + b"\n" != MAGIC:
            self._world.log(ILogger.Severity.ERROR, "the magic tag does not match\n")
            return None
        header, _, onnx = rest.partition(b"\n")
        spec, weights = EngineSpec(**json.loads(header)), ctypes.c_uint64()
        size_bytes = ctypes.c_size_t(spec.weight_bytes)
        if self._world.libcuda.cuMemAlloc_v2(ctypes.byref(weights), size_bytes):
            self._world.log(ILogger.Severity.ERROR, "cannot allocate the weights")
            return None
        return self._engine(self, spec, onnx, weights.value)

    def __del__(self) -> None:
        if hasattr(self, "_logger"):
            self._world.count("runtime", -1)


class ICudaEngine:
    _context: type[IExecutionContext]

    def __init__(self, runtime: Runtime, spec: EngineSpec, onnx: bytes, weights: int) -> None:
        self._world, self._runtime, self._spec = runtime._world, runtime, spec
        self._weights = weights
        self._name = hashlib.sha256(onnx).hexdigest()
        self._world.count("engine", 1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        # sums of 8-bit products are exact on CPUs without VNNI too, as on a GPU
        options.add_session_config_entry("session.x64quantprecision", "1")
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(onnx, options, providers=providers)

    def __del__(self) -> None:
        if self._world.libcuda.cuMemFree_v2(ctypes.c_uint64(self._weights)):
            self._world.failures.append("an engine was destroyed with no context current")
        self._world.count("engine", -1)

    def _tensors(self) -> dict[str, tuple[bool, Any]]:
        """(whether it is an input, onnxruntime's description) by name."""
        inputs = {tensor.name: (True, tensor) for tensor in self._session.get_inputs()}
        return inputs | {tensor.name: (False, tensor) for tensor in self._session.get_outputs()}

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors())

    @property
    def device_memory_size_v2(self) -> int:
        return self._spec.scratch_bytes

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors())[index]

    def get_tensor_mode(self, name: str) -> object:
        return TensorIOMode.INPUT if self._tensors()[name][0] else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> object:
        return TYPES[self._tensors()[name][1].type][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = self._tensors()[name][1].shape
        return tuple(size if isinstance(size, int) else -1 for size in shape)

    def get_tensor_location(self, name: str) -> object:
        require(name in self._tensors(), f"{name} is no tensor")
        return TensorLocation.DEVICE

    def get_tensor_format(self, name: str) -> object:
        require(name in self._tensors(), f"{name} is no tensor")
        return TensorFormat.LINEAR

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        require(profile_index == 0, "there is one profile")
        require(self._tensors()[name][0], f"{name} is no input")
        shape = self.get_tensor_shape(name)
        require(shape[0] == -1, f"{name} has a fixed shape")
        batches = (self._spec.min_batch, 1, self._spec.max_batch)
        return [(batch, *shape[1:]) for batch in batches]

    def create_execution_context(self, strategy: Any) -> IExecutionContext:
        if isinstance(strategy, IRuntimeConfig):
            eager = DynamicShapesKernelSpecializationStrategy.EAGER
            chosen = strategy.dynamic_shapes_kernel_specialization_strategy
            require(chosen is eager, "kernels would be compiled behind a captured graph's back")
            kernels = strategy._cache._kernels if strategy._cache is not None else set()
            strategy = strategy._strategy
        else:
            kernels = set()
        managed = ExecutionContextAllocationStrategy.USER_MANAGED
        require(strategy is managed, "the double allocates no scratch memory")
        return self._context(self, kernels)


class IRuntimeConfig:
    def __init__(self) -> None:
        self._strategy: Any = None
        self.dynamic_shapes_kernel_specialization_strategy: Any = None
        self._cache: IRuntimeCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self._strategy = strategy

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self._cache = cache
        return True


class IRuntimeCache:
    """Kernels are names here, one to a line."""

    def __init__(self) -> None:
        self._kernels: set[str] = set()

    def deserialize(self, blob: bytes) -> bool:
        head, *kernels = bytes(blob).decode(errors="replace").split("\n")
        if head != CACHE_HEAD:
            return False
        self._kernels |= set(kernels)
        return True

    def serialize(self) -> bytes:
        return "\n".join((CACHE_HEAD, *sorted(self._kernels))).encode()


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, kernels: set[str]) -> None:
        self._world, self._engine, self._kernels = engine._world, engine, kernels
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._scratch = (0, 0)
        self._was_run: Any = None
        self._changes: list[str] = []  # of shapes and addresses
        self._destroyed: list[bool] = []
        self._world.count("context", 1)

    def __del__(self) -> None:
        self._destroyed.append(True)
        self._world.count("context", -1)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        require(name in self._engine._tensors(), f"{name} is no tensor")
        require(memory % ALIGNMENT == 0, f"{name}: {memory:#x} is not aligned")
        require(self._world.driver.room(memory) >= 0, f"{name}: {memory:#x} is not on the device")
        if self._addresses.get(name) != memory:
            self._changes.append(f"{name} was bound to {memory:#x}")
        self._addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        require(memory % ALIGNMENT == 0, f"scratch memory {memory:#x} is not aligned")
        require(size >= self._engine.device_memory_size_v2, f"{size} bytes of scratch memory")
        require(self._world.driver.room(memory) >= size, "scratch memory is shorter than said")
        self._scratch = (memory, size)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        engine = self._engine
        self._world.refuse_shape_in -= 1
        if self._world.refuse_shape_in == 0:
            engine._world.log(ILogger.Severity.ERROR, "a shape is refused")
            return False
        smallest, _, largest = engine.get_tensor_profile_shape(name, 0)
        if len(shape) != len(smallest) or any(
            not low <= size <= high
            for low, size, high in zip(smallest, shape, largest, strict=True)
        ):
            message = f"{name}: {shape} is outside of the profile"
            engine._world.log(ILogger.Severity.ERROR, message)
            return False
        if self._shapes.get(name) != tuple(shape):
            self._changes.append(f"{name} was reshaped to {shape}")
        self._shapes[name] = tuple(shape)
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        world, driver = self._world, self._world.driver
        world.refuse_in -= 1
        if world.refuse_in == 0:
            world.log(ILogger.Severity.ERROR, "refused as the test wants it")
            return False
        ranges = self._ranges()
        captured = driver.captures(stream_handle)
        if world.has_error:
            world.has_error = False
            world.log(ILogger.Severity.ERROR, "operation not permitted when stream is capturing")
            return False
        if captured:
            require(self._was_run == self._shapes, "captured before a run with these shapes")
            world.spoil_captures -= 1
            if world.spoil_captures >= 0:
                driver.break_capture(stream_handle)
                world.has_error = True
            if not world.can_capture:
                driver.break_capture(stream_handle)
                world.log(ILogger.Severity.ERROR, "cannot be captured")
                return False
        kernel = f"{self._engine._name} {sorted(self._shapes.items())}"
        world.compiled += kernel not in self._kernels
        self._kernels.add(kernel)
        world.on_run(stream_handle, captured)
        self._was_run = dict(self._shapes)
        run: _Run | _Replay = _Run(self._engine, self._destroyed, ranges, self._scratch)
        if captured:
            run = _Replay(run, self._changes)
        return driver.enqueue(stream_handle, run, [*ranges.values(), self._scratch]) == 0

    def _ranges(self) -> dict[str, tuple[int, int]]:
        """Address and bytes of every tensor, for the shapes that are set."""
        tensors = self._engine._tensors()
        batches = {shape[0] for shape in self._shapes.values()}
        require(len(batches) == 1, f"batch sizes {batches}")
        (batch,) = batches
        ranges = {}
        for name, (is_input, tensor) in tensors.items():
            require(name in self._addresses, f"{name} has no address")
            shape = self._engine.get_tensor_shape(name)
            if is_input and shape[0] == -1:
                require(name in self._shapes, f"{name} has no shape")
            sizes = [batch if size == -1 else size for size in shape]
            size_bytes = int(np.prod(sizes)) * TYPES[tensor.type][1].itemsize
            room = self._world.driver.room(self._addresses[name])
            require(room >= size_bytes, f"{name}: {size_bytes} bytes where {room} are")
            ranges[name] = (self._addresses[name], size_bytes)
        require(self._scratch[1] > 0, "no scratch memory")
        _require_apart({**ranges, "scratch memory": self._scratch})
        return ranges


def _require_apart(ranges: dict[str, tuple[int, int]]) -> None:
    spans = sorted((begin, begin + size, name) for name, (begin, size) in ranges.items())
    for (_, end, name), (begin, _, other) in pairwise(spans):
        require(end <= begin, f"{name} and {other} overlap")


class _Run:
    """A run as it was enqueued: shapes and addresses as they were then."""

    def __init__(
        self,
        engine: ICudaEngine,
        destroyed: list[bool],
        ranges: dict[str, tuple[int, int]],
        scratch: tuple[int, int],
    ) -> None:
        self._world, self._session = engine._world, engine._session
        self._tensors, self._destroyed = engine._tensors(), destroyed
        self._ranges, self._scratch = ranges, scratch

    def __call__(self) -> None:
        try:
            require(not self._destroyed, "a run of a context that is destroyed")
            self._world.runs += 1
            scratch = self._array(*self._scratch)
            scratch[:] = GARBAGE
            feed = {
                name: self._tensor(name).copy()
                for name, (is_input, _) in self._tensors.items()
                if is_input
            }
            outputs = [name for name, (is_input, _) in self._tensors.items() if not is_input]
            for name, value in zip(outputs, self._session.run(outputs, feed), strict=True):
                self._tensor(name)[...] = value
            require(bool((scratch == GARBAGE).all()), "an output in the scratch memory")
        except BaseException as error:  # of a thread of the driver's, which nobody sees
            self._world.failures.append(repr(error))

    def _array(self, address: int, size_bytes: int) -> Any:
        host = self._world.driver.resolve(address, size_bytes)
        return np.frombuffer((ctypes.c_uint8 * size_bytes).from_address(host), np.uint8)

    def _tensor(self, name: str) -> Any:
        tensor = self._tensors[name][1]
        sizes = tensor.shape[1:] if not isinstance(tensor.shape[0], int) else tensor.shape
        flat = self._array(*self._ranges[name]).view(TYPES[tensor.type][1])
        leading = () if isinstance(tensor.shape[0], int) else (-1,)
        return flat.reshape((*leading, *sizes))


class _Replay:
    """A captured run: it is of no use once its context was given other shapes or addresses.

    NVIDIA/TensorRT#3798: the graph depends on state within the context, which moves.
    """

    def __init__(self, run: _Run, changes: list[str]) -> None:
        self._run, self._changes, self._before = run, changes, len(changes)

    def __call__(self) -> None:
        since = self._changes[self._before :]
        if since:
            self._run._world.failures.append(f"a graph was replayed after {since[0]}")
        self._run()


def make_module(name: str, world: World) -> types.ModuleType:
    """Return ``tensorrt`` or ``tensorrt_rtx`` over this world."""
    is_rtx = name == "tensorrt_rtx"
    module: Any = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__version__ = VERSIONS[name.replace("_", "-")]
    context: Any = type("IExecutionContext", (IExecutionContext,), {})
    engine: Any = type("ICudaEngine", (ICudaEngine,), {"_context": context})
    if is_rtx:
        engine.create_runtime_config = lambda self: IRuntimeConfig()
        context.is_stream_capturable = lambda self, stream: world.can_capture
        module.IRuntimeConfig, module.IRuntimeCache = IRuntimeConfig, IRuntimeCache
        module.DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
    runtime = type("Runtime", (Runtime,), {"_world": world, "_engine": engine})
    module.Runtime = runtime
    for member in (
        *(ILogger, TensorIOMode, TensorLocation, TensorFormat, DataType),
        ExecutionContextAllocationStrategy,
    ):
        setattr(module, member.__name__, member)
    module.ICudaEngine, module.IExecutionContext = engine, context
    return module
