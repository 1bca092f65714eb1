"""``edgeexit pack``: a bundle -> one ONNX file with early exit inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edgeexit.cli.inputs.bundle_samples import bundle_data
from edgeexit.cli.inputs.samples import DataOptions, spread_samples
from edgeexit.cli.options.bundle import (
    bundle_argument,
    required_thresholds_option,
    samples_option,
)
from edgeexit.cli.options.fields import PATH, flag, takes
from edgeexit.cli.options.shared import output_option
from edgeexit.cli.output.pack import packed_json, print_packed
from edgeexit.cli.terminal import print_json, shown_progress


@dataclass(frozen=True, slots=True)
class PackOptions:
    """The bundle, and the file to write."""

    bundle: Path = bundle_argument()
    output: Path = output_option(
        "The file; an existing one is replaced.",
        default=Path("model.onnx"),
        type=PATH,
    )
    required_thresholds: bool = required_thresholds_option()
    samples: int = samples_option()
    as_json: bool = flag("Print the verification as JSON.", "--json")


@click.command("pack")
@takes(PackOptions)
@takes(DataOptions)
def command(options: PackOptions, data: DataOptions) -> None:
    """Write a bundle as one ONNX model, for programs that load only a single file.

    Everything behind an exit is in the branch of an If, so an image that leaves early does not pay
    for it. Inputs are images, float32 (N, C, H, W), and thresholds; outputs are labels,
    confidences, exits and logits. A batch takes the time of its hardest image, and every image gets
    the answer that it would get alone, up to rounding. Before the file is written, its decisions
    are compared with the bundle's on validation images.

    \b
    Examples:
      edgeexit pack out/ -o model.onnx
      edgeexit inspect model.onnx
    """
    from edgeexit_runtime import load_manifest

    from edgeexit.export.single.packing import check_file_name, pack_bundle

    check_file_name(options.output)
    manifest = load_manifest(options.bundle)
    val = bundle_data(options.bundle, manifest, data).splits["val"]
    images, _ = spread_samples(val, options.samples)
    with shown_progress("pack") as progress:
        packed = pack_bundle(
            options.bundle,
            options.output,
            images,
            f"{data.dataset or manifest.data.get('name')}, val",
            progress,
            required_thresholds=options.required_thresholds,
        )
    if options.as_json:
        print_json(packed_json(packed))
    else:
        print_packed(packed)
