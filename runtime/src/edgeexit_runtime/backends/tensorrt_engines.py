"""A bundle's engine files -> engines whose tensors are those of the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from edgeexit_runtime.backends.tensorrt_library import TensorRTLibrary
from edgeexit_runtime.errors import BackendError, BundleError
from edgeexit_runtime.manifest import THRESHOLD, GraphEntry, Manifest, TensorInfo

__all__ = ["Engine", "EngineFile", "engine_files", "engine_library", "engine_records"]

# TensorRT's names of the manifest's dtypes
TYPES = {
    "float32": "FLOAT",
    "float16": "HALF",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}


class EngineFile(Protocol):
    """What the runner reads of a manifest's record of an engine."""

    @property
    def graph(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def onnx_sha256(self) -> str: ...
    @property
    def library(self) -> str: ...


def engine_records(manifest: Manifest) -> tuple[EngineFile, ...]:
    """Return what the manifest holds of engines, none where it knows of none."""
    return getattr(manifest, "engines", ())


def engine_files(manifest: Manifest) -> dict[str, EngineFile]:
    """Return the record of the engine of every stage and exit, by name, in order.

    Raises:
        BackendError: some were not built, or were built from other ONNX files.
    """
    by_graph = {record.graph: record for record in engine_records(manifest)}
    graphs = dict(manifest.graphs())
    missing = [name for name in graphs if name not in by_graph]
    if missing:
        raise BackendError(
            f"no engine of {', '.join(missing)} in this bundle; build them on this device"
        )
    old = [name for name in graphs if by_graph[name].onnx_sha256 != graphs[name].sha256]
    if old:
        raise BackendError(
            f"the engines of {', '.join(old)} were built from other ONNX files than the bundle's; "
            "build them again"
        )
    return {name: by_graph[name] for name in graphs}


def engine_library(files: dict[str, EngineFile]) -> str:
    """Return the one library that built all of them.

    Raises:
        BackendError: several did.
    """
    names = sorted({file.library for file in files.values()})
    if len(names) > 1:
        raise BackendError(f"engines: built with {' and '.join(names)}; build them with one")
    return names[0]


class Engine:
    """An engine with its execution context: what runs one stage or exit.

    Attributes:
        scratch_bytes: the device memory that a run needs beside the tensors.

    Raises:
        BackendError: it cannot be loaded, or does not take the bundle's batches.
        BundleError: its tensors are not those of the manifest.
    """

    def __init__(
        self,
        library: TensorRTLibrary,
        entry: GraphEntry,
        file: str,
        content: bytes,
        *,
        gated: bool,
        max_batch: int,
    ) -> None:
        self._library = library
        self._file = file
        self._batched = entry.inputs
        self._count = 0  # that the context's shapes are set for
        self._context: Any = None
        self._engine = library.deserialize(content)
        if self._engine is None:
            raise library.failed(f"{file}: {library.name} {library.version} cannot load it")
        tensors = _tensors(self._engine)
        threshold = (TensorInfo(THRESHOLD, "float32", (1,)),) if gated else ()
        _check_tensors(file, library.module, tensors, "INPUT", entry.inputs, threshold)
        _check_tensors(file, library.module, tensors, "OUTPUT", entry.outputs, ())
        for tensor in entry.inputs:
            smallest, _, largest = self._engine.get_tensor_profile_shape(tensor.name, 0)
            _check_batches(file, smallest[0], largest[0], max_batch)
        self._context = library.create_context(self._engine)
        if self._context is None:
            raise library.failed(f"{file}: {library.name} cannot make an execution context")
        self.scratch_bytes = int(self._engine.device_memory_size_v2)

    def bind(self, addresses: dict[str, int], scratch: int, scratch_bytes: int) -> None:
        """Say for good where the tensors and the scratch memory are."""
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise self._library.failed(f"{self._file}: {name} cannot be bound")
        if self.scratch_bytes:
            self._context.set_device_memory(scratch, scratch_bytes)

    def enqueue(self, count: int, stream: int) -> None:
        """Put a run over ``count`` samples into a stream.

        Raises:
            BackendError: TensorRT refuses it.
        """
        if count != self._count:
            self._count = 0  # unknown, should one of them fail
            for tensor in self._batched:
                if not self._context.set_input_shape(tensor.name, (count, *tensor.shape)):
                    raise self._library.failed(f"{self._file}: refuses a batch of {count}")
            self._count = count
        if not self._context.execute_async_v3(stream):
            raise self._library.failed(f"{self._file}: cannot be run over a batch of {count}")

    def is_capturable(self, stream: int) -> bool:
        """Whether a run can be captured, once it was run with the same batch size."""
        return self._library.is_capturable(self._context, stream)

    def close(self) -> None:
        """Free the context, then the engine."""
        self._context = None
        self._engine = None


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What an engine says of one of its tensors."""

    mode: Any
    dtype: Any
    shape: tuple[int, ...]
    location: Any
    format: Any


def _tensors(engine: Any) -> dict[str, _Tensor]:
    tensors = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        tensors[name] = _Tensor(
            mode=engine.get_tensor_mode(name),
            dtype=engine.get_tensor_dtype(name),
            shape=tuple(engine.get_tensor_shape(name)),
            location=engine.get_tensor_location(name),
            format=engine.get_tensor_format(name),
        )
    return tensors


def _check_tensors(
    file: str,
    trt: Any,
    tensors: dict[str, _Tensor],
    mode: str,
    batched: tuple[TensorInfo, ...],
    fixed: tuple[TensorInfo, ...],
) -> None:
    """Inputs or outputs have these names, types and shapes, and lie on the device as they are.

    Raises:
        BundleError: they do not.
    """
    wanted = getattr(trt.TensorIOMode, mode)
    got = [name for name, tensor in tensors.items() if tensor.mode == wanted]
    expected = [tensor.name for tensor in (*batched, *fixed)]
    if sorted(got) != sorted(expected):
        raise BundleError(
            f"{file}: expected {mode.lower()}s {_listed(expected)} by the manifest, got "
            f"{_listed(got)}; build the engines again"
        )
    for info in (*batched, *fixed):
        tensor = tensors[info.name]
        shape = info.shape if info in fixed else (-1, *info.shape)
        if (tensor.dtype, tensor.shape) != (getattr(trt.DataType, TYPES[info.dtype]), shape):
            raise BundleError(
                f"{file}: expected {info.name} {info.dtype} {shape} by the manifest, got "
                f"{tensor.dtype} {tensor.shape}; build the engines again"
            )
        places = (tensor.location, tensor.format)
        if places != (trt.TensorLocation.DEVICE, trt.TensorFormat.LINEAR):
            raise BundleError(
                f"{file}: expected {info.name} on the device and row by row, got {places}; build "
                "the engines again"
            )


def _check_batches(file: str, smallest: int, largest: int, max_batch: int) -> None:
    """The profile takes 1 to ``max_batch`` samples.

    Raises:
        BackendError: it does not.
    """
    if smallest > 1 or largest < max_batch:
        raise BackendError(
            f"{file}: takes {smallest} to {largest} samples, the bundle's batches are 1 to "
            f"{max_batch}; build the engines again"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
