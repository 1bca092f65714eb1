"""Options of all commands that write a bundle or convert one to another form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edgeexit.cli.options.shared import DEFAULT_BUNDLE, option_group


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """Values of :data:`bundle_options`."""

    output: Path
    precision: str
    score: str | None
    max_batch: int
    baseline: bool
    samples: int
    min_agreement: float | None


bundle_argument = click.argument(
    "bundle", metavar="[BUNDLE]", default=DEFAULT_BUNDLE, type=click.Path(path_type=Path)
)

samples_option = click.option(
    "--samples",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of images for the verification.",
)
required_thresholds_option = click.option(
    "--required-thresholds",
    is_flag=True,
    help="For a single file: every call must give thresholds, for engines without optional inputs, "
    "such as onnxruntime-web and TensorRT.",
)


bundle_options = option_group(
    click.option(
        "-o",
        "--output",
        default=DEFAULT_BUNDLE,
        show_default=True,
        type=click.Path(path_type=Path),
        help="The bundle's folder; an older bundle there is replaced, any other folder refused.",
    ),
    click.option(
        "--precision",
        default="fp32",
        show_default=True,
        type=click.Choice(["fp32", "fp16", "int8"]),
        help="Precision of weights and features; images, softmax and gate are always FP32.",
    ),
    click.option(
        "--score",
        metavar="softmax|margin|entropy",
        help="Confidence of an exit: its largest softmax value, the difference of the two "
        "largest, or 1 - entropy / maximum entropy.  [default: the checkpoint's; softmax]",
    ),
    click.option(
        "--max-batch",
        default=32,
        show_default=True,
        type=click.IntRange(min=1),
        help="Maximum number of images per run of a graph.",
    ),
    click.option(
        "--baseline/--no-baseline",
        default=True,
        show_default=True,
        help="Add the plain backbone as one graph, the baseline of benchmarks.",
    ),
    samples_option,
    click.option(
        "--min-agreement",
        type=click.FloatRange(min=0, max=1),
        help="Minimum share of samples with the network's label and decision at each exit.  "
        "[default: 0.99 for fp32, 0.97 for fp16, 0.95 for int8]",
    ),
)
