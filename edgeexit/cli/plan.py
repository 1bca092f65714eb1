"""``edgeexit plan``: the cost of exits on a device, before anything is trained."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.bundle.quantization_entry import CPU, GPU
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.untrained import UntrainedOptions
from edgeexit.cli.options.backend import BundleBackendOptions
from edgeexit.cli.options.fields import PATH, flag, option, takes
from edgeexit.cli.options.shared import ABOVE_0, all_but, refuse
from edgeexit.cli.terminal import print_json, print_table, say, shown_progress
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit_runtime.timing.paths import MeasuredTimes

    from edgeexit.export import Precision
    from edgeexit.models import MultiExitNet


@dataclass(frozen=True, slots=True)
class PlanOptions(UntrainedOptions):
    """The networks to compare, and how."""

    branches: str = option("Patterns: 4+3+2,3+2+1,4g+3g+2g.", default="", metavar="P1,P2,...")
    precision: str = option(
        "INT8 is quantized for the backend.",
        default="fp32",
        type=click.Choice(["fp32", "fp16", "int8"]),
    )
    accuracies: Path | None = option(
        "Accuracy of each exit, from the paper or earlier runs, to estimate early exit: "
        '{"4+3+2": [0.66, 0.68, 0.70, 0.70]}, fractions or percent.',
        metavar="FILE",
        type=PATH,
    )
    duration: float = option("Seconds to measure; at least 10 rounds.", default=20.0, type=ABOVE_0)
    bundle_out: Path | None = option(
        "Measure nothing: write untrained bundles, for a device that has only the runtime.",
        metavar="FOLDER",
        type=PATH,
    )
    times: Path | None = option(
        "Measure nothing: read a file that 'python -m edgeexit_runtime time' wrote on the device.",
        metavar="FILE",
        type=PATH,
    )
    as_json: bool = flag("Print JSON.", "--json")

    @property
    def patterns(self) -> tuple[str, ...]:
        """The branching patterns, each once."""
        names = (name.strip() for name in self.branches.split(","))
        return tuple(dict.fromkeys(filter(None, names)))

    def build(self, pattern: str) -> MultiExitNet:
        """Return the network with a branching pattern."""
        from edgeexit.planning.candidates import random_network

        if self.backbone is not None:
            return random_network(self.spec(pattern))
        return self.attached(pattern)

    def check(self) -> None:
        """Raise :class:`click.UsageError` if options do not go together."""
        if self.times is not None:
            allowed = all_but("times", "accuracies", "as_json")
            refuse(allowed, "does not go with --times, which replaces the measurement")
            return
        if not self.patterns:
            raise click.UsageError("expected --branches, such as 3+2+1,4g+3g+2g, or --times")
        if "none" in self.patterns:
            raise click.UsageError("--branches: none has no exits to plan; omit it")
        if self.bundle_out is not None:
            refuse(
                ("accuracies", "duration", "as_json"),
                "does not go with --bundle-out, which measures nothing",
            )
        if (self.backbone is None) == (self.model is None) or (self.exits and self.model is None):
            raise click.UsageError("expected either BACKBONE, or --model and maybe --exits")


@click.command("plan")
@takes(PlanOptions)
@takes(BundleBackendOptions)
def command(options: PlanOptions, backend: BundleBackendOptions) -> None:
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

    options.check()
    known = {} if options.accuracies is None else read_accuracies(options.accuracies)
    runner = BACKENDS.get(backend.backend)  # auto takes none that needs engines
    needs_engines = runner is not None and runner.needs_engines
    if options.bundle_out is not None:
        _write_for_a_device(options, needs_engines, options.bundle_out)
        return
    if options.times is None:
        measured = _measure(options, needs_engines, backend)
    else:
        measured = read_times(options.times)
    plan = make_plan(measured, known)
    if options.as_json:
        print_json({"text": list(plan_text(plan)), **encode(plan)})
        return
    for sentence in plan_text(plan):
        say(sentence)
    print_table(plan_table(plan))
    if options.times is None:
        network = ["--model", options.model]
        if options.backbone is not None:
            network = ["--backbone", options.backbone]
        if options.exits:
            network += ["--exits", options.exits]
        if options.input_size is not None:
            network += ["--input-size", "x".join(map(str, options.input_size))]
        following = format_command("train", *network, "--branches", plan.patterns[0].branches)
        say(f"next: {following} --dataset ...")


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


def _write(options: PlanOptions, needs_engines: bool, folder: Path) -> list[Path]:
    """Write the bundles."""
    from edgeexit.planning.candidates import untrained, write_candidates

    is_for_here = options.bundle_out is None
    form = untrained(_form(options.precision, needs_engines, is_for_here))
    with shown_progress("plan") as progress:
        return write_candidates(
            options.build, options.patterns, folder, form, options.model, progress
        )


def _write_for_a_device(options: PlanOptions, needs_engines: bool, folder: Path) -> None:
    folders = _write(options, needs_engines, folder)
    for each in folders:
        say(f"wrote {each}")
    names = " ".join(each.name for each in folders)
    say(f"there, in a copy of {folder}: python -m edgeexit_runtime time {names}")
    say("here, with its times.json: edgeexit plan --times times.json")


def _measure(
    options: PlanOptions, needs_engines: bool, backend: BundleBackendOptions
) -> MeasuredTimes:
    """Write the bundles to a temporary folder, build engines if needed, and time them."""
    from edgeexit_runtime.engines.building import build_engines
    from edgeexit_runtime.timing.paths import time_bundles

    with tempfile.TemporaryDirectory() as folder:
        folders = _write(options, needs_engines, Path(folder))
        for each in folders if needs_engines else ():
            build_engines(each)
        with shown_progress("plan") as progress:
            return time_bundles(
                folders, duration_s=options.duration, progress=progress, **asdict(backend)
            )
