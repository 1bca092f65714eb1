"""``edgeexit build``: the TensorRT engines of a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.backends.tensorrt.library import LIBRARIES
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.options.fields import flag, option, takes
from edgeexit.cli.options.shared import AT_LEAST_1, engine_dir_option
from edgeexit.cli.terminal import print_json, print_table, remark, say, shown_progress
from edgeexit.formats import Table, named_numbers, texts

if TYPE_CHECKING:
    from edgeexit_runtime.engines.building import BuildReport

AUTO, NONE = "auto", "none"


compute_capability_option = partial(
    option,
    "With TensorRT-RTX: compute capability of the GPUs to build for, such as 8.0.  "
    "[default: 8.6, 8.9 and 12.0]",
    metavar="X.Y",
)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """A bundle, and how its engines are built."""

    engine_dir: Path = engine_dir_option("; the engines are added to it")
    library: str = option(
        "Library that builds; auto: TensorRT if it and a GPU are available, else TensorRT-RTX.",
        default=AUTO,
        type=click.Choice([AUTO, *LIBRARIES]),
    )
    compute_capability: str | None = compute_capability_option()
    rebuild: bool = flag("Build all engines, even those that still fit.")
    as_json: bool = flag("Print the engines as JSON.", "--json")


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """The fields of the runtime's ``EngineOptions``."""

    opt_batch: int = option(
        "Batch size that kernels are optimized for; all up to the bundle's maximum run.",
        default=1,
        type=AT_LEAST_1,
    )
    workspace_mib: int | None = option(
        "Limit of scratch memory per layer.  [default: all of the GPU's memory]",
        "--workspace",
        metavar="MIB",
        type=AT_LEAST_1,
    )
    optimization_level: int = option(
        "0 builds fastest, 5 searches longest.", default=3, type=click.IntRange(0, 5)
    )
    version_compatible: bool = flag(
        "Engines also run in later versions of TensorRT; they may be slower."
    )
    hardware_compatibility: str = option(
        "Engines also run on other GPUs; they may be slower.",
        default="none",
        type=click.Choice(["none", "same-capability", "ampere+"]),
    )
    tf32: bool = flag("Allow TF32 (10-bit mantissa) in FP32 layers.")


@click.command("build")
@takes(BuildOptions)
@takes(KernelOptions)
def command(options: BuildOptions, kernels: KernelOptions) -> None:
    """Build the TensorRT engines of a bundle, on the device that will run them.

    With TensorRT-RTX they are built ahead of time, without a GPU. Engines that still fit are
    kept; engines for another version, GPU or ONNX file are built again. On a device with the
    runtime alone, use 'python -m edgeexit_runtime build out/'.

    \b
    Examples:
      edgeexit build --engine-dir out/
      edgeexit build --engine-dir out/ --library tensorrt-rtx --compute-capability 8.6
    """
    from edgeexit_runtime.bundle.engine_entry import EngineOptions

    report = _build(
        options.engine_dir,
        options=EngineOptions(**asdict(kernels)),
        library=options.library,
        compute_capability=options.compute_capability,
        rebuild=options.rebuild,
    )
    if options.as_json:
        print_json(_as_json(report))
    else:
        print_engines(report)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Whether engines are built after an export.

    Attributes:
        library: the library that builds; None to build none.
        compute_capability: of the GPUs to build for, see ``build_engines``.
        reason: why none are built; None if none were asked for.
    """

    library: str | None = None
    compute_capability: str | None = None
    reason: str | None = None

    def build(self, folder: Path) -> BuildReport | None:
        """Build the engines of a bundle, or print why not, and how to build on the device."""
        from edgeexit_runtime.backends.tensorrt.engine_check import how_to_build

        if self.library is not None:
            capability = self.compute_capability
            return _build(folder, library=self.library, compute_capability=capability)
        if self.reason is not None:
            remark(
                f"no TensorRT engines were built: {self.reason}; on the device: "
                f"{how_to_build(folder)}"
            )
        return None


def choose_engines(engine: str, compute_capability: str | None) -> EngineChoice:
    """Return the choice that ``--engine`` makes on this machine, checked before the slow export.

    Raises:
        BackendError, InputError: the library is not installed, or does not build for this compute
            capability.
        click.UsageError: a compute capability is given without a library.
    """
    from edgeexit_runtime.backends.tensorrt.engine_check import open_for_this_gpu
    from edgeexit_runtime.backends.tensorrt.versions import open_library
    from edgeexit_runtime.bundle.engine_entry import EngineOptions

    from edgeexit.errors import BackendError

    if engine in (AUTO, NONE) and compute_capability is not None:
        raise click.UsageError(
            "--compute-capability goes with engines that are built ahead of time: add --engine "
            "tensorrt-rtx"
        )
    if engine == NONE:
        return EngineChoice()
    if engine == AUTO:
        try:
            return EngineChoice(open_for_this_gpu().library.name)
        except BackendError as error:
            return EngineChoice(reason=str(error))
    trt = open_library(engine)
    trt.require_place()
    trt.check(EngineOptions(), compute_capability)
    return EngineChoice(engine, compute_capability)


def _build(folder: Path, **how: Any) -> BuildReport:
    """Build the engines of a bundle under a progress bar."""
    from edgeexit_runtime.engines.building import build_engines

    with shown_progress("engines") as progress:
        return build_engines(folder, progress=progress, **how)


def print_engines(report: BuildReport) -> None:
    """Print a build as a table."""
    from edgeexit_runtime.bundle.engine_entry import FROM_NETWORK
    from edgeexit_runtime.engines.building import without_int8_kernel

    table = Table.of(
        f"engines of {report.folder}, {report.library}",
        (*named_numbers("graph", "MB", "seconds"), *texts("layers", "why")),
        (
            (
                engine.entry.graph,
                f"{engine.entry.size_bytes / 1e6:.2f}",
                "" if engine.seconds is None else f"{engine.seconds:.1f}",
                ", ".join(f"{share:.0%} {name}" for name, share in engine.entry.layers.items()),
                engine.reason or "kept: it fits",
            )
            for engine in report.engines
        ),
    )
    print_table(table)
    if any(engine.entry.layers_from == FROM_NETWORK for engine in report.engines):
        say(
            "the layers are those of the strongly typed network before the build: the engines "
            "were not loaded here, or do not report theirs"
        )
    for line in without_int8_kernel(report):
        say(line)
    kept = len(report.engines) - report.built
    say(f"{report.folder}: {report.built} engines built, {kept} kept")


def _as_json(report: BuildReport) -> dict[str, Any]:
    engines = [
        {**encode(engine.entry), "seconds": engine.seconds, "reason": engine.reason}
        for engine in report.engines
    ]
    return {"bundle": str(report.folder), "library": report.library, "engines": engines}
