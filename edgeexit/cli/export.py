"""``edgeexit export``: a checkpoint -> a bundle that the runtime loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.common import import_model, model_option, print_json, progress_bar
from edgeexit.cli.export_report import print_summary, report_json
from edgeexit.cli.samples import DataOptions, data_options, load_samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgeexit.bench.before_after import PartChange
    from edgeexit.export import ExportedBundle, Precision
    from edgeexit.training import Checkpoint


@click.command("export")
@click.argument("path", metavar="CKPT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle's folder; an older bundle there is replaced.",
)
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Of weights and features; images come in as FP32, softmax and gate stay FP32.",
)
@click.option(
    "--calibration-data",
    type=click.Path(path_type=Path),
    metavar="FOLDER|NPY|NPZ",
    help="Images that value ranges of INT8 are measured on; see calibration_data/README.md.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "minmax", "entropy", "percentile"]),
    help="How INT8 chooses ranges; auto takes the method with the best exit decisions on images "
    "that it holds out.  [default: auto]",
)
@click.option(
    "--quantize",
    type=click.Choice(["all", "classifier"]),
    help="What INT8 has in 8 bits: all that TensorRT computes so, or for CPUs large classifiers "
    "alone.  [default: all]",
)
@click.option(
    "--fallback",
    type=click.Choice(["fp32", "fp16"]),
    help="Of what INT8 leaves out, and of features between graphs.  [default: fp32]",
)
@click.option(
    "--opset",
    type=click.IntRange(18, 20),
    help="ONNX opset.  [default: 18, and 19 for INT8 with --fallback fp16]",
)
@click.option(
    "--max-batch",
    default=32,
    show_default=True,
    type=click.IntRange(min=1),
    help="Most images that one run of a graph takes.",
)
@click.option(
    "--baseline/--no-baseline",
    default=True,
    show_default=True,
    help="Add the plain backbone as one graph, which the benchmark compares with.",
)
@click.option(
    "--samples",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Validation images, at most, to prove the bundle on.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(min=0, max=1),
    help="Least share of samples with the network's label and decision at each exit.  "
    "[default: 0.99 for fp32, 0.97 for fp16, 0.95 for int8]",
)
@click.option(
    "--times/--no-times",
    default=True,
    show_default=True,
    help="Of INT8: measure every part before and after on this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the proof as JSON.")
@model_option
@data_options
def command(
    path: Path,
    output: Path,
    precision: str,
    calibration_data: Path | None,
    method: str | None,
    quantize: str | None,
    fallback: str | None,
    opset: int | None,
    max_batch: int,
    baseline: bool,
    samples: int,
    min_agreement: float | None,
    times: bool,
    as_json: bool,
    model: str | None,
    **options: Any,
) -> None:
    """Export a trained network: one ONNX file per stage and per branch, and a manifest.

    Before the bundle gets its name it is run on validation images and compared, exit by exit,
    with the network in PyTorch. If it does not agree, nothing is written.

    INT8 rounds most values to 8 bits; Q/DQ nodes in the files say which. Their ranges are measured
    on the calibration images, and what it costs and saves is printed for every exit and part.

    \b
    Examples:
      edgeexit export run/tuned.pt --precision fp16 -o out/
      edgeexit export run/tuned.pt --precision int8 --calibration-data calibration_data/digits -o q/
      edgeexit export run/tuned.pt --precision int8 --quantize classifier -o cpu/
    """
    from edgeexit.export import ExportOptions, export_bundle, load_calibration_images
    from edgeexit.training import load_checkpoint

    chosen = _precision(precision, calibration_data, method, quantize, fallback)
    if min_agreement is not None:
        chosen = dataclasses.replace(chosen, min_agreement=min_agreement)
    if opset is None:
        opset = 19 if fallback == "fp16" else 18
    form = ExportOptions(chosen, opset, max_batch, baseline)
    checkpoint = load_checkpoint(path)
    factory = import_model(model)
    calibration = None
    if calibration_data is not None:
        calibration = load_calibration_images(calibration_data, checkpoint.preprocessing)
    images, labels, source = _validation_images(checkpoint, DataOptions(**options), samples)
    with progress_bar() as bar:
        task = bar.add_task("export")
        bundle = export_bundle(
            checkpoint,
            output,
            form,
            images,
            source,
            progress=lambda step, done, total: bar.update(
                task, description=step, completed=done, total=total
            ),
            model=factory,
            labels=labels,
            calibration=calibration,
        )
    changes = _measure(bundle, images[:1]) if times and bundle.before else None
    if as_json:
        print_json(report_json(bundle, changes))
    else:
        print_summary(bundle, changes)


def _precision(
    name: str,
    calibration_data: Path | None,
    method: str | None,
    quantize: str | None,
    fallback: str | None,
) -> Precision:
    """Return the precision that the options name.

    Raises:
        click.UsageError: they do not go together.
    """
    from edgeexit.export import PRECISIONS, Quantization

    given = {
        "--calibration-data": calibration_data,
        "--method": method,
        "--quantize": quantize,
        "--fallback": fallback,
    }
    unused = [option for option, value in given.items() if value is not None]
    if name != "int8":
        if unused:
            raise click.UsageError(f"{unused[0]} goes with --precision int8, got {name}")
        return PRECISIONS[name]
    if quantize == "classifier":
        for option in ("--calibration-data", "--method"):
            if given[option] is not None:
                raise click.UsageError(
                    f"{option} goes with --quantize all: classifiers are rounded to the range of "
                    "each image; leave it out"
                )
    elif calibration_data is None:
        raise click.UsageError(
            "--precision int8 needs --calibration-data: a folder of images, a .npy or a .npz file"
        )
    return PRECISIONS[name].quantized(
        Quantization(quantize or "all", method or "auto", fallback or "fp32")
    )


def _validation_images(
    checkpoint: Checkpoint, options: DataOptions, limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """Return up to ``limit`` validation images, spread evenly over the split, labels, source."""
    import numpy as np

    data = load_samples(checkpoint, options)
    split = data.splits["val"]
    count = min(limit, len(split))
    numbers = np.linspace(0, len(split) - 1, count).round().astype(int)
    chosen = [split[number] for number in numbers]
    images = np.stack([image.numpy() for image, _ in chosen])
    labels = np.array([label for _, label in chosen], np.int64)
    return images, labels, f"{options.dataset or checkpoint.data.name}, val"


def _measure(bundle: ExportedBundle, image: NDArray[np.float32]) -> tuple[PartChange, ...]:
    """Time every part of an INT8 bundle before and after, on this machine."""
    from edgeexit.bench.before_after import time_graphs
    from edgeexit.bench.report import BenchOptions

    with progress_bar() as bar:
        task = bar.add_task("times", total=1)
        return time_graphs(
            bundle.before,
            bundle.after,
            image,
            BenchOptions(rounds=20, duration_s=5.0),
            lambda step, done: bar.update(task, completed=done),
        )
