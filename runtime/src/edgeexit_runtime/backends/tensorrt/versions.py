"""One interface to TensorRT 10.3 to 11 and TensorRT-RTX; all differences are in this file.

- Strongly typed networks need a flag in 10.x; from 11 on all networks are strongly typed and the
  flag is deprecated. TensorRT-RTX ignores or needs it, by version; it may always be set.
- TensorRT builds on the GPU that will run the engine, unless compatibility with others is
  requested. TensorRT-RTX builds without a GPU, for compute capabilities; it has neither version nor
  hardware compatibility, and its timing cache does nothing (until 1.1 it even needed a GPU).
- ``SAME_COMPUTE_CAPABILITY`` was added after 10.3.
- From 1.2 on, TensorRT-RTX is configured to leave all allocations to the session: else it may
  allocate during a run, which a CUDA graph cannot capture. TensorRT does not do that.
- From 1.1 on, TensorRT-RTX creates contexts from a configuration, and may compile kernels for a
  batch size after a graph was captured, unless eager compilation is set.
- The engine inspector's ``Format/Datatype`` of 10.x is ``DataType`` and ``Format`` in 11.
"""

from __future__ import annotations

import re
from typing import Any

from edgeexit_runtime.backends.cuda.device import Gpu, find_gpu
from edgeexit_runtime.backends.tensorrt.library import (
    AUTO,
    PORTABLE,
    RTX,
    Library,
    find_library,
    import_library,
)
from edgeexit_runtime.backends.tensorrt.runtime_cache import RuntimeCache
from edgeexit_runtime.bundle.engine_entry import EngineOptions
from edgeexit_runtime.errors import BackendError, InputError
from edgeexit_runtime.system.machine import l4t_version

CAPABILITY = re.compile(r"SM(\d+)(\d)")
# The inspector's names in lower case -> the manifest's
PRECISIONS = {
    "int8": "int8",
    "fp8": "fp8",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "half": "fp16",
    "fp16": "fp16",
    "float16": "fp16",
    "float": "fp32",
    "fp32": "fp32",
    "float32": "fp32",
}
WORD = re.compile(r"[a-z]+[0-9]*")


def open_library(name: str = AUTO, compute_capability: str | None = None) -> TensorRt:
    """Import a library, or with ``auto`` the one that can build here.

    Raises:
        InputError: there is no such library.
        BackendError: it is not installed, too old, or does not start.
    """
    library = find_library(name, compute_capability)
    return TensorRt(library, import_library(library))


class TensorRt:
    """An imported library, with one interface to all of its versions.

    Args:
        library: the library.
        module: its imported module.

    Attributes:
        title: name and version, for messages.
        is_rtx: whether it is TensorRT-RTX.

    Raises:
        BackendError: the version is too old.
    """

    def __init__(self, library: Library, module: Any) -> None:
        self.library = library
        self.module = module
        self.version = str(module.__version__)
        self.title = f"{library.title} {self.version}"
        self.is_rtx = library.name == RTX
        numbers = re.findall(r"\d+", self.version)
        self._release = tuple(int(number) for number in numbers[:2])
        if self._release < library.oldest:
            oldest = ".".join(map(str, library.oldest))
            raise BackendError(f"{self.title}: expected {oldest} or later; install a newer one")

    def check(self, options: EngineOptions, compute_capability: str | None) -> None:
        """Check, before anything is built, that this library has the options.

        Raises:
            InputError: it does not have an option or compute capability.
        """
        if self.is_rtx:
            if options.version_compatible:
                raise InputError(
                    "version compatible: TensorRT-RTX's engines run in the version that built "
                    "them alone; build again after an upgrade"
                )
            if options.hardware_compatibility != "none":
                raise InputError(
                    "hardware compatibility: TensorRT-RTX's engines run on GPUs of compute "
                    f"capability {PORTABLE}, or of a requested one; "
                    "omit it"
                )
        elif options.hardware_compatibility != "none" and l4t_version() is not None:
            raise InputError(
                "hardware compatibility: TensorRT does not have it on a Jetson; omit it"
            )
        if not self.is_rtx and compute_capability is not None:
            raise InputError(
                "compute capability: TensorRT builds for the GPU that is here; omit it, or "
                f"choose {RTX}"
            )
        if compute_capability is not None:
            self._capability(compute_capability)
        self._hardware_level(options.hardware_compatibility)

    def require_place(self) -> Gpu | None:
        """Return this machine's GPU; TensorRT-RTX can build without one.

        Raises:
            BackendError: there is none, and the library needs one to build.
        """
        gpu = find_gpu()
        if gpu is None and not self.is_rtx:
            raise BackendError(
                f"{self.title} builds on the GPU that will run the engines, and finds none here; "
                f"build on the device, or ahead of time with {RTX}"
            )
        return gpu

    def create_network(self, builder: Any) -> Any:
        """Return an empty strongly typed network."""
        if not self.is_rtx and self._release[0] >= 11:
            return builder.create_network()
        flag = self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return builder.create_network(1 << int(flag))

    def configure(self, config: Any, options: EngineOptions, capability: str | None) -> None:
        """Set all options of a builder's configuration that do not depend on the network."""
        trt = self.module
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
        config.builder_optimization_level = options.optimization_level
        config.max_aux_streams = 0  # graphs of a bundle run one after another
        if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # TensorRT-RTX 1.2
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        if options.workspace_mib is not None:
            size = options.workspace_mib * 2**20
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size)
        if not options.tf32:  # TensorRT allows it by default
            config.clear_flag(trt.BuilderFlag.TF32)
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatibility != "none":
            level = self._hardware_level(options.hardware_compatibility)
            config.hardware_compatibility_level = level
        if capability is not None:
            config.num_compute_capabilities = 1
            if not config.set_compute_capability(self._capability(capability), 0):
                raise BackendError(
                    f"{self.title} does not build for compute capability {capability}"
                )

    def attach_timing_cache(self, config: Any, content: bytes) -> Any:
        """Let a build use timings of earlier ones; return the cache, None for TensorRT-RTX.

        TensorRT rejects timings of another GPU or version; a new cache is then started.
        """
        if self.is_rtx:
            return None
        cache = config.create_timing_cache(content)
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, ignore_mismatch=False)
        return cache

    def parser_error(self, error: Any) -> str:
        """Return an error of the ONNX parser in one line: the node and the reason."""
        reason = " ".join(error.desc().split())
        operator, name = error.node_operator(), error.node_name()
        return f"{operator} node {name!r}: {reason}" if operator else reason

    def tensor_precision(self, tensor: dict[str, Any]) -> str | None:
        """Return the precision of a tensor from the engine inspector; None for integers."""
        fields = {key.lower(): str(value) for key, value in tensor.items()}
        text = fields.get("datatype") or fields.get("format/datatype") or fields.get("format", "")
        for word in WORD.findall(text.lower()):
            if word in PRECISIONS:
                return PRECISIONS[word]
        return None

    def open_engine(self, runtime: Any, content: Any, options: EngineOptions) -> Any:
        """Return the engine, or None if this machine cannot load it."""
        if options.version_compatible:
            runtime.engine_host_code_allowed = True  # such a file contains a lean runtime
        return runtime.deserialize_cuda_engine(content)

    def create_context(self, engine: Any, cache: RuntimeCache) -> Any:
        """Return an execution context with scratch memory of the caller, or None on failure."""
        trt = self.module
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):  # TensorRT-RTX 1.1
            return engine.create_execution_context(strategy)
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        cache.attach(config)
        return engine.create_execution_context(config)

    def is_capturable(self, context: Any, stream: int) -> bool:
        """Whether a context's work can be captured, as reported by the library."""
        if hasattr(context, "is_stream_capturable"):  # TensorRT-RTX 1.2
            return bool(context.is_stream_capturable(stream))
        return True

    def how_to_build_for(self, capability: str) -> str:
        """Return how to build for a GPU that TensorRT-RTX's default engines do not run on."""
        if capability in self._capabilities():
            return f"build for it alone, with --library {RTX} --compute-capability {capability}"
        return f"{self.title} has none for it; install TensorRT"

    def _capability(self, capability: str) -> Any:
        known = self._capabilities()
        if capability not in known:
            raise InputError(
                f"compute capability: {self.title} builds for {', '.join(known)}, got "
                f"{capability!r}"
            )
        return known[capability]

    def _capabilities(self) -> dict[str, Any]:
        members = self.module.ComputeCapability.__members__
        found = {CAPABILITY.fullmatch(name): member for name, member in members.items()}
        return {f"{name[1]}.{name[2]}": member for name, member in found.items() if name}

    def _hardware_level(self, compatibility: str) -> Any:
        members = {
            "none": "NONE",
            "same-capability": "SAME_COMPUTE_CAPABILITY",
            "ampere+": "AMPERE_PLUS",
        }
        levels = self.module.HardwareCompatibilityLevel.__members__
        if members[compatibility] not in levels:
            known = ", ".join(name for name, member in members.items() if member in levels)
            raise InputError(
                f"hardware compatibility: {self.title} has {known}, got {compatibility!r}"
            )
        return levels[members[compatibility]]
