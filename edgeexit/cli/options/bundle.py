"""Options of all commands that write a bundle or convert one to another form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from edgeexit.cli.options.fields import PATH, argument, flag, option
from edgeexit.cli.options.shared import AT_LEAST_1, DEFAULT_BUNDLE, output_option

bundle_argument = partial(argument, "[BUNDLE]", default=DEFAULT_BUNDLE, type=PATH)
samples_option = partial(
    option, "Maximum number of images for the verification.", default=256, type=AT_LEAST_1
)
required_thresholds_option = partial(
    flag,
    "For a single file: every call must give thresholds, for engines without optional inputs, "
    "such as onnxruntime-web and TensorRT.",
)


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """The bundle that ``export`` and ``split`` write."""

    output: Path = output_option(
        "The bundle's folder; an older bundle there is replaced, any other folder refused.",
        default=DEFAULT_BUNDLE,
        type=PATH,
    )
    precision: str = option(
        "Precision of weights and features; images, softmax and gate are always FP32.",
        default="fp32",
        type=click.Choice(["fp32", "fp16", "int8"]),
    )
    score: str | None = option(
        "Confidence of an exit: its largest softmax value, the difference of the two "
        "largest, or 1 - entropy / maximum entropy.  [default: a checkpoint's own, else softmax]",
        metavar="softmax|margin|entropy",
    )
    max_batch: int = option(
        "Maximum number of images per run of a graph.", default=32, type=AT_LEAST_1
    )
    baseline: bool = option(
        "Add the plain backbone as one graph, the baseline of benchmarks.",
        "--baseline/--no-baseline",
        default=True,
    )
    samples: int = samples_option()
    min_agreement: float | None = option(
        "Minimum share of samples with the network's label and decision at each exit.  "
        "[default: 0.99 for fp32, 0.97 for fp16, 0.95 for int8]",
        type=click.FloatRange(min=0, max=1),
    )
