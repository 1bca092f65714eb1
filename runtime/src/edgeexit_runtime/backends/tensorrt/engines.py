"""A bundle's engine files -> engines whose tensors are those of the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.cuda.device import find_gpu
from edgeexit_runtime.backends.tensorrt.engine_check import (
    Here,
    check_engine,
    how_to_build,
    require_engine,
)
from edgeexit_runtime.backends.tensorrt.library import LIBRARIES
from edgeexit_runtime.backends.tensorrt.runtime import EngineRuntime
from edgeexit_runtime.backends.tensorrt.versions import TensorRt
from edgeexit_runtime.bundle.engine_entry import EngineEntry
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import THRESHOLD, GraphEntry, TensorInfo
from edgeexit_runtime.errors import BackendError, BundleError

# TensorRT's names of the manifest's dtypes
TYPES = {
    "float32": "FLOAT",
    "float16": "HALF",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "bool": "BOOL",
}


def engine_library(bundle: Bundle) -> str:
    """Return the library that built the engine of a bundle's first graph.

    The other engines must be of the same library; :func:`engine_entries` checks that.

    Raises:
        BackendError: there is no such engine, or the library is not one of :data:`LIBRARIES`.
    """
    name, _ = next(bundle.manifest.graphs())
    entry = require_engine(bundle, name)
    if entry.library not in LIBRARIES:
        raise BackendError(
            f"{bundle.folder / entry.file}: built with {entry.library}, which this "
            f"edgeexit-runtime does not know; run: {how_to_build(bundle.folder)}"
        )
    return entry.library


def engine_entries(bundle: Bundle, trt: TensorRt) -> dict[str, EngineEntry]:
    """Return the engine of every stage and exit, by name, in order, checked to fit.

    Raises:
        BackendError: there is no GPU; or an engine was not built, or does not fit the library, the
            GPU or the ONNX files.
    """
    gpu = find_gpu()
    if gpu is None:
        raise BackendError("no CUDA device can be used here: the driver shows none")
    place = Here(trt.library.name, trt.version, gpu)
    return {name: check_engine(bundle, name, place) for name, _ in bundle.manifest.graphs()}


class Engine:
    """The engine of a stage or exit, with its tensors checked; it creates execution contexts.

    Attributes:
        scratch_bytes: the device memory that a run needs in addition to the tensors.

    Raises:
        BackendError: it cannot be loaded, or does not accept the bundle's batch sizes.
        BundleError: its tensors are not those of the manifest.
    """

    def __init__(
        self,
        runtime: EngineRuntime,
        entry: EngineEntry,
        graph: GraphEntry,
        content: bytes,
        *,
        gated: bool,
        max_batch: int,
    ) -> None:
        file, trt = entry.file, runtime.trt
        self._runtime = runtime
        self._file = file
        self._batched = graph.inputs
        self._engine = runtime.open_engine(content, entry.options)
        if self._engine is None:
            raise runtime.failed(f"{file}: {trt.title} cannot load it")
        threshold = (TensorInfo(THRESHOLD, "float32", (1,)),) if gated else ()
        _check_tensors(file, trt.module, self._engine, "INPUT", graph.inputs, threshold)
        _check_tensors(file, trt.module, self._engine, "OUTPUT", graph.outputs, ())
        for tensor in graph.inputs:
            low, _, high = self._engine.get_tensor_profile_shape(tensor.name, 0)
            smallest, largest = low[0], high[0]
            if smallest > 1 or largest < max_batch:
                raise BackendError(
                    f"{file}: takes {smallest} to {largest} samples, the bundle's batches are 1 to "
                    f"{max_batch}; build the engines again"
                )
        self.scratch_bytes = int(self._engine.device_memory_size_v2)

    def open_context(
        self, size: int, addresses: dict[str, int], scratch: int, scratch_bytes: int
    ) -> FixedContext:
        """Create an execution context for one batch size, bound to its tensors and scratch memory.

        Contexts may share all of that memory: only one of them runs at a time.

        Raises:
            BackendError: it cannot be created, or rejects the size or an address.
        """
        runtime, file = self._runtime, self._file
        with runtime.reasons:
            context = runtime.trt.create_context(self._engine, runtime.cache)
            if context is None:
                title = runtime.trt.title
                raise runtime.failed(f"{file}: {title} cannot make an execution context")
            for tensor in self._batched:
                if not context.set_input_shape(tensor.name, (size, *tensor.shape)):
                    raise runtime.failed(f"{file}: refuses a batch of {size}")
            for name, address in addresses.items():
                if not context.set_tensor_address(name, address):
                    raise runtime.failed(f"{file}: {name} cannot be bound")
            if self.scratch_bytes:
                context.set_device_memory(scratch, scratch_bytes)
        return FixedContext(runtime, context, file, size)

    def close(self) -> None:
        """Free the engine, after its contexts."""
        self._engine = None


@dataclass(slots=True)
class FixedContext:
    """An execution context for one batch size. It is never reshaped.

    A CUDA graph captured from it depends on its internal state, which a new shape changes.
    """

    _runtime: EngineRuntime
    _context: Any
    _file: str
    _size: int

    def enqueue(self, stream: int) -> None:
        """Enqueue a run into a stream.

        Raises:
            BackendError: TensorRT rejects it.
        """
        with self._runtime.reasons:
            accepted = self._context.execute_async_v3(stream)
        if not accepted:
            raise self._runtime.failed(f"{self._file}: cannot be run over a batch of {self._size}")

    def is_capturable(self, stream: int) -> bool:
        """Whether a run can be captured, after the first one."""
        return self._runtime.trt.is_capturable(self._context, stream)

    def close(self) -> None:
        """Free the context, before its engine."""
        self._context = None


def _check_tensors(
    file: str,
    trt: Any,
    engine: Any,
    mode: str,
    batched: tuple[TensorInfo, ...],
    fixed: tuple[TensorInfo, ...],
) -> None:
    """Check names, types, shapes, location and format of an engine's inputs or outputs.

    Raises:
        BundleError: one differs from the manifest, or is not on the device in linear format.
    """
    wanted = getattr(trt.TensorIOMode, mode)
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    got = [name for name in names if engine.get_tensor_mode(name) == wanted]
    expected = [tensor.name for tensor in (*batched, *fixed)]
    if sorted(got) != sorted(expected):
        raise BundleError(
            f"{file}: expected {mode.lower()}s {', '.join(expected)} by the manifest, got "
            f"{', '.join(got)}; build the engines again"
        )
    for info in (*batched, *fixed):
        shape = info.shape if info in fixed else (-1, *info.shape)
        found = engine.get_tensor_dtype(info.name), tuple(engine.get_tensor_shape(info.name))
        if found != (getattr(trt.DataType, TYPES[info.dtype]), shape):
            raise BundleError(
                f"{file}: expected {info.name} {info.dtype} {shape} by the manifest, got "
                f"{found[0]} {found[1]}; build the engines again"
            )
        places = (engine.get_tensor_location(info.name), engine.get_tensor_format(info.name))
        if places != (trt.TensorLocation.DEVICE, trt.TensorFormat.LINEAR):
            raise BundleError(
                f"{file}: expected {info.name} on the device and row by row, got {places}; build "
                "the engines again"
            )
