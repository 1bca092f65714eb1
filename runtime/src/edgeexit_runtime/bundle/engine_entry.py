"""The manifest's entry of a built engine, and the options that it was built with."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.bundle.schema import (
    check_choice,
    check_model_file,
    check_positive,
    check_range,
    check_text,
)

ENGINE_SUFFIX = ".engine"

HARDWARE_COMPATIBILITY = ("none", "same-capability", "ampere+")
OPTIMIZATION_LEVELS = range(6)

FROM_INSPECTOR = "inspector"
"""The layers are the engine's own, as listed by TensorRT's engine inspector."""
FROM_NETWORK = "network"
"""The layers are those of the strongly typed network; the engine was not inspected."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How engines are built.

    Attributes:
        opt_batch: the batch size that kernels are chosen for; every size up to the bundle's
            largest runs.
        workspace_mib: limit on a layer's scratch memory; None is TensorRT's default, all of the
            GPU's memory.
        optimization_level: 0 builds fastest, 5 searches longest.
        version_compatible: also runs in later versions of TensorRT.
        hardware_compatibility: also runs on other GPUs: ``same-capability``, or ``ampere+`` for
            Ampere and later.
        tf32: FP32 layers may multiply with 10 bits of mantissa: faster, and no longer FP32.
    """

    opt_batch: int = 1
    workspace_mib: int | None = None
    optimization_level: int = 3
    version_compatible: bool = False
    hardware_compatibility: str = "none"
    tf32: bool = False

    def __post_init__(self) -> None:
        check_positive("opt batch", self.opt_batch)
        if self.workspace_mib is not None:
            check_positive("workspace, MiB", self.workspace_mib)
        levels = OPTIMIZATION_LEVELS
        check_range("optimization level", self.optimization_level, levels[0], levels[-1])
        check_choice("hardware compatibility", self.hardware_compatibility, HARDWARE_COMPATIBILITY)


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """A plan file as TensorRT serialized it, which trtexec loads too.

    Attributes:
        graph: the name of the stage or exit, or of the baseline, that it was built from.
        onnx_sha256: hash of the ONNX file that it was built from.
        library: ``tensorrt`` or ``tensorrt-rtx``.
        version: the library's full version.
        gpu: the GPU that it was built on; None if it was built ahead of time.
        compute_capability: of the GPUs that it runs on, such as ``8.6``; None for TensorRT-RTX's
            default set.
        precision: the bundle's precision.
        max_batch: the largest batch that it accepts.
        layers: the share of its layers, 0 to 1, per precision. Layers that only move data or
            count are omitted.
        layers_from: the source of ``layers``: ``inspector`` or ``network``.
        floating: convolutions, by their names in the ONNX file, that have 8 bits there and are
            computed in floating point: TensorRT had no INT8 kernel for them.
        multiprocessors: number of the GPU that it was built on. Here and below, None if it was
            built ahead of time, or by a version that did not record it.
        memory_gib: that GPU's memory, rounded up to a power of two.
        platform: the platform that it was built on, such as ``linux-aarch64``.
        l4t: the version of a Jetson's system; None also on other machines.
    """

    graph: str
    file: str
    sha256: str
    size_bytes: int
    onnx_sha256: str
    library: str
    version: str
    gpu: str | None
    compute_capability: str | None
    precision: str
    max_batch: int
    options: EngineOptions
    layers: dict[str, float]
    layers_from: str
    floating: tuple[str, ...] = ()
    multiprocessors: int | None = None
    memory_gib: int | None = None
    platform: str | None = None
    l4t: str | None = None

    def __post_init__(self) -> None:
        check_model_file(self.file, self.size_bytes)
        check_text("library, version and precision", self.library, self.version, self.precision)
        check_text("gpu and compute capability", self.gpu or "", self.compute_capability or "")
        check_text("platform and l4t", self.platform or "", self.l4t or "")
        check_text("layers", *self.layers)
        check_text("floating", *self.floating)
        if not self.file.endswith(ENGINE_SUFFIX):
            raise ValueError(f"file: expected a name that ends with {ENGINE_SUFFIX}")
        check_choice("layers_from", self.layers_from, (FROM_INSPECTOR, FROM_NETWORK))
