"""``edgeexit export``: a checkpoint -> a bundle that the runtime loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.build import compute_capability_option, print_engines, run_build
from edgeexit.cli.common import (
    console,
    import_model,
    model_option,
    print_json,
    progress_bar,
    status_console,
)
from edgeexit.cli.samples import DataOptions, data_options, load_samples

if TYPE_CHECKING:
    import numpy as np
    from edgeexit_runtime.engines import BuildReport
    from numpy.typing import NDArray

    from edgeexit.export import ExportedBundle
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
    type=click.Choice(["fp32", "fp16"]),
    help="Of weights and features; images come in as FP32, softmax and gate stay FP32.",
)
@click.option(
    "--opset", default=18, show_default=True, type=click.IntRange(18, 20), help="ONNX opset."
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
    "[default: 0.99 for fp32, 0.97 for fp16]",
)
@click.option(
    "--engine",
    default="none",
    show_default=True,
    type=click.Choice(["auto", "none", "tensorrt", "tensorrt-rtx"]),
    help="Build engines at once, as 'edgeexit build' does; auto: where a library for it is here.",
)
@compute_capability_option
@click.option("--json", "as_json", is_flag=True, help="Print the proof as JSON.")
@model_option
@data_options
def command(
    path: Path,
    output: Path,
    precision: str,
    opset: int,
    max_batch: int,
    baseline: bool,
    samples: int,
    min_agreement: float | None,
    engine: str,
    compute_capability: str | None,
    as_json: bool,
    model: str | None,
    **options: Any,
) -> None:
    """Export a trained network: one ONNX file per stage and per branch, and a manifest.

    Before the bundle gets its name it is run on validation images and compared, exit by exit,
    with the network in PyTorch. If it does not agree, nothing is written. Engines are built of
    it afterwards; should that fail, the bundle stays, without engines.

    \b
    Examples:
      edgeexit export run/tuned.pt --precision fp16 -o out/
      edgeexit export run/tuned.pt -o out/ --engine tensorrt-rtx --compute-capability 8.6
    """
    from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
    from edgeexit.training import load_checkpoint

    chosen = PRECISIONS[precision]
    if min_agreement is not None:
        chosen = dataclasses.replace(chosen, min_agreement=min_agreement)
    form = ExportOptions(chosen, opset, max_batch, baseline)
    library = _library(engine, compute_capability)
    checkpoint = load_checkpoint(path)
    factory = import_model(model)
    images, source = _validation_images(checkpoint, DataOptions(**options), samples)
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
        )
    if not as_json:
        _print_summary(bundle)
    engines = None
    if library is not None:
        engines = run_build(output, library, compute_capability)
    if as_json:
        print_json({"bundle": str(output), **bundle.manifest.verification, **_as_json(engines)})
    else:
        _print_next(output, engines)


def _library(engine: str, compute_capability: str | None) -> str | None:
    """Return the library that builds, found and asked before minutes are spent; None for none.

    Raises:
        BackendError, InputError: it is not here, or does not build for this compute capability.
    """
    from edgeexit_runtime.backends.trt_versions import open_library
    from edgeexit_runtime.engine_entry import EngineOptions

    from edgeexit.errors import BackendError

    if engine == "none":
        if compute_capability is not None:
            raise click.UsageError("--compute-capability is of engines: add --engine tensorrt-rtx")
        return None
    try:
        trt = open_library(engine, compute_capability)
        trt.require_place()
    except BackendError as error:
        if engine != "auto":
            raise
        status_console().print(f"no engines will be built here: {error}", soft_wrap=True)
        return None
    trt.check(EngineOptions(), compute_capability)
    return trt.library.name


def _validation_images(
    checkpoint: Checkpoint, options: DataOptions, limit: int
) -> tuple[NDArray[np.float32], str]:
    """Return up to ``limit`` validation images, spread evenly over the split, and their source."""
    import numpy as np

    data = load_samples(checkpoint, options)
    split = data.splits["val"]
    count = min(limit, len(split))
    numbers = np.linspace(0, len(split) - 1, count).round().astype(int)
    images = np.stack([split[number][0].numpy() for number in numbers])
    return images, f"{options.dataset or checkpoint.data.name}, val"


def _print_summary(bundle: ExportedBundle) -> None:
    from rich.table import Table

    proof, manifest = bundle.verification, bundle.manifest
    table = Table(
        title=f"{manifest.precision} bundle against the FP32 network on {proof.samples} images "
        f"({proof.source})"
    )
    table.add_column("exit")
    for heading in ("largest logit difference", "equal labels", "equal decisions"):
        table.add_column(heading, justify="right")
    for exit_ in proof.exits:
        table.add_row(
            exit_.name,
            f"{exit_.max_logit_difference:.2g}",
            f"{exit_.equal_labels:.2%}",
            f"{exit_.equal_decisions:.2%}",
        )
    out = console()
    out.print(table)
    out.print(
        f"{proof.equal_answers:.2%} of the images get the network's label from the network's exit "
        f"(at least {proof.min_agreement:.0%} asked of every exit)"
    )
    size = sum(graph.size_bytes for _, graph in manifest.graphs()) / 1e6
    out.print(f"{bundle.folder}: {len(list(manifest.graphs()))} graphs, {size:.2f} MB")


def _print_next(output: Path, engines: BuildReport | None) -> None:
    if engines is not None:
        print_engines(engines)
    console().print(f"measure it with: edgeexit bench --engine-dir {output}")


def _as_json(engines: BuildReport | None) -> dict[str, Any]:
    from edgeexit_runtime.schema import encode

    return {} if engines is None else {"engines": [encode(e.entry) for e in engines.engines]}
