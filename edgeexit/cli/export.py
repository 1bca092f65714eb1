"""``edgeexit export``: a checkpoint -> a bundle that the runtime loads."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.backends.tensorrt.library import LIBRARIES

from edgeexit.cli.build import (
    AUTO,
    NONE,
    choose_engines,
    compute_capability_option,
    print_engines,
)
from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network, network_options
from edgeexit.cli.inputs.samples import DataOptions, data_options, load_samples, spread_samples
from edgeexit.cli.options.bundle import (
    BundleOptions,
    bundle_options,
    required_thresholds_option,
)
from edgeexit.cli.options.quantize import QuantizeOptions, quantize_options
from edgeexit.cli.options.shared import DEFAULT_BUNDLE, taken
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
    from edgeexit_runtime.engines.building import BuildReport
    from numpy.typing import NDArray

    from edgeexit.export import ExportedBundle
    from edgeexit.export.single.packing import PackedFile
    from edgeexit.export.triton.repository import ModelRepository
    from edgeexit.training import Checkpoint

BUNDLE, SINGLE, TRITON = "bundle", "single", "triton"
FROM_BUNDLE = {SINGLE: "pack", TRITON: "triton"}
"""The command that writes each form from a bundle."""


@click.command("export")
@click.argument("path", metavar="CKPT", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    default=BUNDLE,
    show_default=True,
    type=click.Choice([BUNDLE, SINGLE, TRITON]),
    help="single: one ONNX file with early exit inside, as 'edgeexit pack' writes it; triton: a "
    "model repository, as 'edgeexit triton' writes it; -o is its name.",
)
@required_thresholds_option
@bundle_options
@quantize_options
@click.option(
    "--opset",
    type=click.IntRange(18, 20),
    help="ONNX opset.  [default: 18; 19 for INT8 with FP16 fallback]",
)
@click.option(
    "--engine",
    default=AUTO,
    show_default=True,
    type=click.Choice([AUTO, NONE, *LIBRARIES]),
    help="Build TensorRT engines afterwards, as 'edgeexit build' does; auto: if there is a GPU and "
    "a library that builds for it. tensorrt-rtx also builds without a GPU.",
)
@compute_capability_option
@click.option("--json", "as_json", is_flag=True, help="Print the verification as JSON.")
@network_options
@data_options
def command(
    path: Path,
    form: str,
    required_thresholds: bool,
    opset: int | None,
    engine: str,
    compute_capability: str | None,
    as_json: bool,
    **options: Any,
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
    from edgeexit.export.single.packing import check_file_name, pack_bundle
    from edgeexit.export.triton.repository import check_new, write_repository

    asked, int8 = taken(BundleOptions, options), taken(QuantizeOptions, options)
    output, is_bundle = asked.output, form == BUNDLE
    if form == SINGLE:
        check_file_name(output)
    elif form == TRITON:
        check_new(output)
    if engine == AUTO and (int8.is_for_cpus or not is_bundle):
        engine = NONE
    if not is_bundle and engine != NONE:
        raise click.UsageError(
            f"--engine {engine} builds the parts of a bundle: omit --format {form}"
        )
    building = choose_engines(engine, compute_capability)
    chosen = int8.precision(
        asked.precision,
        builds_engines=building.library is not None,
        min_agreement=asked.min_agreement,
    )
    # the plain backbone is only for comparisons, which need a bundle
    baseline = asked.baseline and is_bundle
    parts = ExportOptions(chosen, opset or chosen.least_opset, asked.max_batch, baseline)
    network = taken(NetworkOptions, options)
    data = DataOptions(**options)
    checkpoint = loaded = load_network(path, network, data)
    if asked.score is not None:
        checkpoint = loaded.with_score(asked.score)
    factory = network.factory()
    calibration = int8.images(checkpoint.preprocessing, data.max_pixels or MAX_PIXELS)
    images, labels, source = _validation_images(checkpoint, data, asked.samples)
    with shown_progress("export") as progress, ExitStack() as held:
        folder = output
        if not is_bundle:
            folder = Path(held.enter_context(TemporaryDirectory(prefix="edgeexit-"))) / "bundle"
        bundle = export_bundle(
            checkpoint,
            folder,
            parts,
            images,
            source,
            progress=progress,
            model=factory,
            labels=labels,
            calibration=calibration,
        )
        packed = repository = None
        if form == SINGLE:
            packed = pack_bundle(
                folder, output, images, source, progress, required_thresholds=required_thresholds
            )
        elif form == TRITON:
            repository = write_repository(folder, output)
        bundle = dataclasses.replace(bundle, folder=output)
    if checkpoint.guarantee is not None and bundle.manifest.guarantee is None:
        remark(_not_guaranteed(bundle, form, checkpoint.guarantee))
    if checkpoint.score != loaded.score:
        remark(_other_score(bundle, form, loaded))
    if not as_json:
        print_summary(bundle, int8.reason(building))
    engines = building.build(output) if is_bundle and _is_for_gpus(bundle) else None
    if as_json:
        print_json({**report_json(bundle), **_more_json(packed, repository, engines)})
    elif packed is not None:
        print_packed(packed)
    elif repository is not None:
        print_repository(repository)
    else:
        _print_next(bundle, engines)


def _validation_images(
    checkpoint: Checkpoint, options: DataOptions, limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """Return up to ``limit`` validation images spread over the split, their labels, the source."""
    data = load_samples(checkpoint, options)
    images, labels = spread_samples(data.splits["val"], limit)
    return images, labels, f"{options.dataset or checkpoint.data.name}, val"


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


def _print_next(bundle: ExportedBundle, engines: BuildReport | None) -> None:
    if engines is not None:
        print_engines(engines)
    following = format_command("bench", "--engine-dir", f"{bundle.folder}/")
    say(f"next: {following}")
    if bundle.manifest.precision == "int8":
        say("to measure what INT8 gains: add --versus FP32/, an export with --precision fp32")


def _more_json(
    packed: PackedFile | None, repository: ModelRepository | None, engines: BuildReport | None
) -> dict[str, Any]:
    """Return the JSON values of what was made from the bundle."""
    if packed is not None:
        return packed_json(packed)
    if repository is not None:
        return repository_json(repository)
    return {} if engines is None else {"engines": [it.entry for it in engines.engines]}
