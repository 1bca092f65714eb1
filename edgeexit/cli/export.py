"""``edgeexit export``: a checkpoint -> a bundle that the runtime loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.backends.tensorrt.library import LIBRARIES

from edgeexit.cli.build import (
    AUTO,
    NONE,
    EngineChoice,
    choose_engines,
    compute_capability_option,
    print_engines,
)
from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network
from edgeexit.cli.inputs.samples import DataOptions, load_samples, spread_samples
from edgeexit.cli.options.bundle import BundleOptions, required_thresholds_option
from edgeexit.cli.options.fields import PATH, argument, flag, option, takes
from edgeexit.cli.options.quantize import QuantizeOptions
from edgeexit.cli.options.shared import DEFAULT_BUNDLE, refuse
from edgeexit.cli.output.export import print_summary, report_json
from edgeexit.cli.output.pack import (
    packed_json,
    print_packed,
    print_repository,
    repository_json,
)
from edgeexit.cli.terminal import print_json, remark, say, shown_progress
from edgeexit.formats import format_command, format_promise

if TYPE_CHECKING:
    import numpy as np
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee
    from edgeexit_runtime.progress import Progress
    from numpy.typing import NDArray

    from edgeexit.export import ExportedBundle
    from edgeexit.training import Checkpoint

BUNDLE, SINGLE, TRITON = "bundle", "single", "triton"
FROM_BUNDLE = {SINGLE: "pack", TRITON: "triton"}
"""The command that writes each form from a bundle."""


@dataclass(frozen=True, slots=True)
class ExportCommandOptions(BundleOptions):
    """The checkpoint, the form that it gets, and what is built from it."""

    path: Path = argument("CKPT", type=PATH)
    form: str = option(
        "single: one ONNX file with early exit inside, as 'edgeexit pack' writes it; triton: a "
        "model repository, as 'edgeexit triton' writes it; -o is its name.",
        "--format",
        default=BUNDLE,
        type=click.Choice([BUNDLE, SINGLE, TRITON]),
    )
    required_thresholds: bool = required_thresholds_option()
    opset: int | None = option(
        "ONNX opset.  [default: 18; 19 for INT8 with FP16 fallback]", type=click.IntRange(18, 20)
    )
    engine: str = option(
        "Build TensorRT engines afterwards, as 'edgeexit build' does; auto: if there is a GPU and "
        "a library that builds for it. tensorrt-rtx also builds without a GPU.",
        default=AUTO,
        type=click.Choice([AUTO, NONE, *LIBRARIES]),
    )
    compute_capability: str | None = compute_capability_option()
    as_json: bool = flag("Print the verification as JSON.", "--json")

    def check_output(self) -> None:
        """Check the name of a single file or a repository before the slow export."""
        from edgeexit.export.single.packing import check_file_name
        from edgeexit.export.triton.repository import check_new

        if self.form == SINGLE:
            check_file_name(self.output)
        elif self.form == TRITON:
            check_new(self.output)
        if self.form != SINGLE:
            refuse(("required_thresholds",), "goes with --format single")

    def engines(self, is_for_cpus: bool) -> EngineChoice:
        """Return which engines to build, none of a bundle for CPUs or of another form."""
        engine = self.engine
        if engine == AUTO and (is_for_cpus or self.form != BUNDLE):
            engine = NONE
        if self.form != BUNDLE and engine != NONE:
            raise click.UsageError(
                f"--engine {engine} builds the parts of a bundle: omit --format {self.form}"
            )
        return choose_engines(engine, self.compute_capability)


@click.command("export")
@takes(ExportCommandOptions)
@takes(QuantizeOptions)
@takes(NetworkOptions)
@takes(DataOptions)
def command(
    options: ExportCommandOptions,
    int8: QuantizeOptions,
    network: NetworkOptions,
    data: DataOptions,
) -> None:
    """Export a trained network: one ONNX file per stage and per branch, and a manifest.

    Before the bundle is written, it is run on validation images and compared, exit by exit, with
    the network in PyTorch. If they do not agree, nothing is written. Engines are built from it
    afterwards if there are a GPU and TensorRT; if that fails, the bundle stays without engines.

    INT8 rounds most values to 8 bits, marked by Q/DQ nodes in the form that one kind of engine
    fuses completely (--target). Value ranges are measured on the calibration images. The effect on
    accuracy and size is printed for every exit and part.

    \b
    Examples:
      edgeexit export run/ckpt.tuned.pt --precision fp16
      edgeexit export run/ckpt.tuned.pt --precision int8 --calibration-data calibration_data/digits
      edgeexit export run/ckpt.tuned.pt --precision int8 --quantize classifier -o cpu/
      edgeexit export run/ckpt.tuned.pt --engine tensorrt-rtx --compute-capability 8.6
      edgeexit export run/ckpt.tuned.pt --format single -o model.onnx
      edgeexit export run/ckpt.tuned.pt --format triton -o repository/
      edgeexit export weights.pth --model my_models:MSDNet --outputs 0,1,2 --dataset digits
    """
    from edgeexit_runtime.images.decoding import MAX_PIXELS

    from edgeexit.export import ExportOptions, export_bundle

    options.check_output()
    building = options.engines(int8.is_for_cpus)
    builds = building.library is not None
    precision = int8.precision(options.precision, builds, options.min_agreement)
    # the plain backbone is only for comparisons, which need a bundle
    baseline = options.baseline and options.form == BUNDLE
    opset = options.opset or precision.least_opset
    parts = ExportOptions(precision, opset, options.max_batch, baseline)
    checkpoint = loaded = load_network(options.path, network, data)
    if options.score is not None:
        checkpoint = loaded.with_score(options.score)
    factory = network.factory()
    calibration = int8.images(checkpoint.preprocessing, data.max_pixels or MAX_PIXELS)
    samples = load_samples(checkpoint, data).splits["val"]
    images, labels = spread_samples(samples, options.samples)
    source = f"{data.dataset or checkpoint.data.name}, val"
    more: dict[str, Any] = {}
    with shown_progress("export") as progress, _bundle_folder(options) as folder:
        bundle = export_bundle(
            checkpoint,
            folder,
            parts,
            images,
            source,
            progress,
            model=factory,
            labels=labels,
            calibration=calibration,
        )
        if options.form != BUNDLE:
            more, show = _convert(options, folder, images, source, progress)
    bundle = dataclasses.replace(bundle, folder=options.output)
    if checkpoint.guarantee is not None and bundle.manifest.guarantee is None:
        remark(_not_guaranteed(bundle, options.form, checkpoint.guarantee))
    if checkpoint.score != loaded.score:
        remark(_other_score(bundle, options.form, loaded))
    if not options.as_json:
        print_summary(bundle, int8.reason(building))
    if options.form == BUNDLE:
        more, show = _build(bundle, building)
    if options.as_json:
        print_json({**report_json(bundle), **more})
    else:
        show()


@contextmanager
def _bundle_folder(options: ExportCommandOptions) -> Iterator[Path]:
    """Yield the folder for the bundle, a temporary one if another form is made of it."""
    if options.form == BUNDLE:
        yield options.output
        return
    with TemporaryDirectory(prefix="edgeexit-") as folder:
        yield Path(folder) / "bundle"


def _convert(
    options: ExportCommandOptions,
    folder: Path,
    images: NDArray[np.float32],
    source: str,
    progress: Progress,
) -> tuple[dict[str, Any], Callable[[], None]]:
    """Write another form from a bundle; return it as JSON values, and what prints it."""
    from edgeexit.export.single.packing import pack_bundle
    from edgeexit.export.triton.repository import write_repository

    if options.form == TRITON:
        repository = write_repository(folder, options.output)
        return repository_json(repository), partial(print_repository, repository)
    required = options.required_thresholds
    packed = pack_bundle(
        folder, options.output, images, source, progress, required_thresholds=required
    )
    return packed_json(packed), partial(print_packed, packed)


def _build(
    bundle: ExportedBundle, building: EngineChoice
) -> tuple[dict[str, Any], Callable[[], None]]:
    """Build engines; return them as JSON values, and what prints them and the next command."""
    engines = building.build(bundle.folder) if _is_for_gpus(bundle) else None
    more = {} if engines is None else {"engines": [it.entry for it in engines.engines]}

    def show() -> None:
        if engines is not None:
            print_engines(engines)
        following = format_command("bench", "--engine-dir", f"{bundle.folder}/")
        say(f"next: {following}")
        if bundle.manifest.precision == "int8":
            say("to measure what INT8 gains: add --versus FP32/, an export with --precision fp32")

    return more, show


def _is_for_gpus(bundle: ExportedBundle) -> bool:
    """Whether engines may be built from a bundle; for CPUs no hint at building is needed."""
    from edgeexit_runtime.bundle.quantization_entry import GPU

    entry = bundle.manifest.quantization
    return entry is None or entry.target is None or entry.target.engine == GPU


def _not_guaranteed(bundle: ExportedBundle, form: str, guarantee: Guarantee) -> str:
    """Return that the FP32 network's guarantee does not hold, and the command to get one."""
    promise = format_promise(guarantee.risk, guarantee.target, guarantee.confidence)
    asked = (f"--max-{guarantee.risk}", guarantee.target, "--confidence", guarantee.confidence)
    return (
        f"not guaranteed in {bundle.manifest.precision}: {promise} was shown for the FP32 network; "
        f"for this bundle: {_tuning(bundle, form, *asked)}"
    )


def _other_score(bundle: ExportedBundle, form: str, loaded: Checkpoint) -> str:
    """Return that thresholds of one score do not fit another, and the command to choose them."""
    dropped = "" if loaded.guarantee is None else ", and their guarantee is dropped"
    return (
        f"the thresholds are for the score {loaded.score}, the bundle's is {bundle.manifest.score}"
        f"{dropped}; choose them again: {_tuning(bundle, form, '--max-drop', '0.01')}"
    )


def _tuning(bundle: ExportedBundle, form: str, *asked: object) -> str:
    """Return the commands that choose thresholds for the exported form, on a bundle."""
    if form == BUNDLE:
        return format_command("tune", "--engine-dir", f"{bundle.folder}/", *asked)
    command = format_command("tune", "--engine-dir", f"{DEFAULT_BUNDLE}/", *asked)
    return f"export a bundle, {command}, then {format_command(FROM_BUNDLE[form], DEFAULT_BUNDLE)}"
