"""``edgeexit plan``: the cost of exits on a device, before anything is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.bundle.quantization_entry import CPU, GPU
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import backend_options
from edgeexit.cli.options.shared import (
    LARGE_CLASSES,
    USUAL_CLASSES,
    all_but,
    exits_option,
    model_option,
    refuse,
    usual_classes,
)
from edgeexit.cli.terminal import print_json, print_table, say, shown_progress
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit_runtime.timing.paths import MeasuredTimes

    from edgeexit.export import Precision
    from edgeexit.models import MultiExitNet

DEFAULT_PIXELS = 224


@dataclass(frozen=True, slots=True)
class Candidates:
    """The networks to compare.

    Attributes:
        build: builds the network of a branching pattern.
        patterns: their branching patterns.
        model: ``package.module:factory`` of a user's own model, or None.
        form: their precision.
        needs_engines: the backend runs only engines.
    """

    build: Callable[[str], MultiExitNet]
    patterns: tuple[str, ...]
    model: str | None
    form: Precision
    needs_engines: bool


@click.command("plan")
@click.argument("backbone", required=False)
@click.option("--branches", metavar="P1,P2,...", help="Patterns: 4+3+2,3+2+1,4g+3g+2g.")
@model_option
@exits_option
@click.option("--num-classes", type=click.IntRange(min=2), help=f"[default: {USUAL_CLASSES}]")
@click.option(
    "--input-size", type=typed.size, help="Pixels: 224 or HEIGHTxWIDTH.  [default: the backbone's]"
)
@click.option(
    "--precision",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="INT8 is quantized for the backend.",
)
@backend_options
@click.option(
    "--accuracies",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Accuracy of each exit, from the paper or earlier runs, to estimate early exit: "
    '{"4+3+2": [0.66, 0.68, 0.70, 0.70]}, fractions or percent.',
)
@click.option(
    "--duration",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds to measure; at least 10 rounds.",
)
@click.option(
    "--bundle-out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Measure nothing: write untrained bundles, for a device that has only the runtime.",
)
@click.option(
    "--times",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Measure nothing: read a file that 'python -m edgeexit_runtime time' wrote on the device.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    backbone: str | None,
    branches: str | None,
    model: str | None,
    exits: str,
    num_classes: int | None,
    input_size: tuple[int, int] | None,
    precision: str,
    accuracies: Path | None,
    duration: float,
    bundle_out: Path | None,
    times: Path | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Show the cost of exits on this device, before any training.

    Builds the network with each branching pattern and random weights, exports it, and times the
    plain backbone and every exit path, interleaved: times do not depend on weights. Prints the
    share of images that must leave early for early exit to pay off and, with --accuracies, an
    estimate of early exit.

    \b
    Examples:
      edgeexit plan resnet18 --branches 4+3+2,3+2+1,4g+3g+2g --precision int8
      edgeexit plan --model torchvision.models:densenet121 --branches 2+1,3g+2g
      edgeexit plan resnet18 --branches 4+3+2,4g+3g+2g --bundle-out bundles/
      edgeexit plan --times times.json --accuracies paper.json
    """
    from edgeexit.planning.analysis import make_plan, read_accuracies, read_times
    from edgeexit.planning.words import plan_table, plan_text

    known = {} if accuracies is None else read_accuracies(accuracies)
    if times is None:
        patterns = _patterns(branches)
        if bundle_out is not None:
            refuse(
                ("accuracies", "duration", "as_json"),
                "does not go with --bundle-out, which measures nothing",
            )
        build = _builder(backbone, model, exits, num_classes, input_size)
        backend = BACKENDS.get(chosen["backend"])  # auto takes none that needs engines
        needs_engines = backend is not None and backend.needs_engines
        form = _form(precision, needs_engines, is_for_here=bundle_out is None)
        candidates = Candidates(build, patterns, model, form, needs_engines)
        if bundle_out is not None:
            _write_for_a_device(candidates, bundle_out)
            return
        measured = _measure(candidates, chosen, duration)
    else:
        refuse(
            all_but("times", "accuracies", "as_json"),
            "does not go with --times, which replaces the measurement",
        )
        measured = read_times(times)
    plan = make_plan(measured, known)
    if as_json:
        print_json({"text": list(plan_text(plan)), **encode(plan)})
        return
    for sentence in plan_text(plan):
        say(sentence)
    print_table(plan_table(plan))
    if times is None:
        network = ("--model", model) if model is not None else ("--backbone", backbone or "")
        following = format_command("train", *network, "--branches", plan.patterns[0].branches)
        say(f"next: {following} --dataset ...")


def _patterns(branches: str | None) -> tuple[str, ...]:
    patterns = tuple(dict.fromkeys(it.strip() for it in (branches or "").split(",") if it.strip()))
    if not patterns:
        raise click.UsageError("expected --branches, such as 3+2+1,4g+3g+2g, or --times")
    return patterns


def _builder(
    backbone: str | None,
    model: str | None,
    exits: str,
    num_classes: int | None,
    pixels: tuple[int, int] | None,
) -> Callable[[str], MultiExitNet]:
    """Return a function that builds the network of a branching pattern."""
    from edgeexit.models import attach_exits, make_spec
    from edgeexit.models.factories import create_model
    from edgeexit.models.registry import backbone_entry
    from edgeexit.planning.candidates import random_network

    if (backbone is None) == (model is None) or (exits and model is None):
        raise click.UsageError("expected either BACKBONE, or --model and maybe --exits")
    size = None if pixels is None else (3, *pixels)
    if backbone is not None:
        classes = num_classes or usual_classes(backbone_entry(backbone).input_size)
        return lambda pattern: random_network(make_spec(backbone, pattern, classes, size))
    assert model is not None
    return lambda pattern: attach_exits(
        create_model(model, num_classes or LARGE_CLASSES),
        exits or "auto",
        branches=pattern,
        input_size=size or (3, DEFAULT_PIXELS, DEFAULT_PIXELS),
        num_classes=num_classes,
        name=model,
    )


def _form(name: str, needs_engines: bool, is_for_here: bool) -> Precision:
    """Return a precision; INT8 is quantized for the backend."""
    from edgeexit.export import PRECISIONS, Quantization
    from edgeexit.export.int8.targets import target_for
    from edgeexit.export.int8.targets.cpu_7bit import target_of_this_cpu

    form = PRECISIONS[name]
    if form.quantization is None:
        return form
    if needs_engines:
        target = target_for(GPU)
    else:
        target = target_of_this_cpu() if is_for_here else target_for(CPU)
    return form.quantized(Quantization("all", "minmax", target=target))


def _write(candidates: Candidates, folder: Path) -> list[Path]:
    """Write the bundles."""
    from edgeexit.planning.candidates import untrained, write_candidates

    with shown_progress("plan") as progress:
        return write_candidates(
            candidates.build,
            candidates.patterns,
            folder,
            untrained(candidates.form),
            candidates.model,
            progress,
        )


def _write_for_a_device(candidates: Candidates, folder: Path) -> None:
    folders = _write(candidates, folder)
    for each in folders:
        say(f"wrote {each}")
    names = " ".join(each.name for each in folders)
    say(f"there, in a copy of {folder}: python -m edgeexit_runtime time {names}")
    say("here, with its times.json: edgeexit plan --times times.json")


def _measure(candidates: Candidates, chosen: dict[str, Any], duration_s: float) -> MeasuredTimes:
    """Write the bundles to a temporary folder, build engines if needed, and time them."""
    from edgeexit_runtime.engines.building import build_engines
    from edgeexit_runtime.timing.paths import time_bundles

    with tempfile.TemporaryDirectory() as folder:
        folders = _write(candidates, Path(folder))
        for each in folders if candidates.needs_engines else ():
            build_engines(each)
        with shown_progress("plan") as progress:
            return time_bundles(folders, duration_s=duration_s, progress=progress, **chosen)
