"""``edgeexit pack``: a bundle -> one ONNX file with early exit inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeexit.cli.inputs.bundle_samples import bundle_data
from edgeexit.cli.inputs.samples import DataOptions, data_options, spread_samples
from edgeexit.cli.options.bundle import (
    bundle_argument,
    required_thresholds_option,
    samples_option,
)
from edgeexit.cli.output.pack import packed_json, print_packed
from edgeexit.cli.terminal import print_json, shown_progress


@click.command("pack")
@bundle_argument
@click.option(
    "-o",
    "--output",
    default="model.onnx",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The file; an existing one is replaced.",
)
@required_thresholds_option
@samples_option
@click.option("--json", "as_json", is_flag=True, help="Print the verification as JSON.")
@data_options
def command(
    bundle: Path,
    output: Path,
    required_thresholds: bool,
    samples: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a bundle as one ONNX model, for programs that load only a single file.

    Everything behind an exit is in the branch of an If, so an image that leaves early does not pay
    for it. Inputs are images, float32 (N, C, H, W), and thresholds; outputs are labels,
    confidences, exits and logits. A batch takes the time of its hardest image, and every image gets
    the answer that it would get alone. Before the file is written, its decisions are compared with
    the bundle's on validation images.

    \b
    Examples:
      edgeexit pack out/ -o model.onnx
      edgeexit inspect model.onnx
    """
    from edgeexit_runtime import load_manifest

    from edgeexit.export.single.packing import check_file_name, pack_bundle

    check_file_name(output)
    manifest = load_manifest(bundle)
    data = bundle_data(bundle, manifest, DataOptions(**options))
    images, _ = spread_samples(data.splits["val"], samples)
    name = options["dataset"] or manifest.data.get("name")
    with shown_progress("pack") as progress:
        packed = pack_bundle(
            bundle,
            output,
            images,
            f"{name}, val",
            progress,
            required_thresholds=required_thresholds,
        )
    if as_json:
        print_json(packed_json(packed))
    else:
        print_packed(packed)
