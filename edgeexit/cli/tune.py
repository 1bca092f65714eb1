"""``edgeexit tune``: the best thresholds within limits, chosen on val, reported on test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.own_weights import NetworkOptions
from edgeexit.cli.inputs.samples import BundleSampleOptions
from edgeexit.cli.options.backend import BackendOptions
from edgeexit.cli.options.fields import SectionedCommand, takes
from edgeexit.cli.options.tune import ALL, TuneOptions
from edgeexit.cli.options.tune_rules import check_together
from edgeexit.cli.terminal import console, print_json, remark, say, shown_progress
from edgeexit.formats import format_dropped

if TYPE_CHECKING:
    from edgeexit.cli.inputs.tune_bundle import BundleTarget
    from edgeexit.cli.inputs.tune_checkpoint import CheckpointTarget
    from edgeexit.thresholds.tuning import Tuning


@click.command("tune", cls=SectionedCommand)
@takes(TuneOptions, "Limits")
@takes(BackendOptions, "Backend of a bundle")
@takes(BundleSampleOptions, "Images")
@takes(NetworkOptions, "Weights from another program")
def command(
    options: TuneOptions,
    backend: BackendOptions,
    samples: BundleSampleOptions,
    network: NetworkOptions,
) -> None:
    """Choose the best thresholds within limits; without limits, show the front.

    Thresholds are chosen on the validation images and reported on these and on the test images,
    with 95 % bootstrap intervals. For up to three branches the search is exhaustive over the grid;
    for more it is local. An exit whose branch costs more than it saves is switched off. The
    checkpoint with the thresholds is written next to CKPT, with .tuned in its name. --engine-dir
    tunes a bundle by running its graphs, and rewrites its thresholds.

    With --confidence the thresholds have a guarantee: on other images from the same source, the
    risk is at most the given one, with that probability. It holds for images that are drawn
    independently (not frames of one video) and that the network has not seen; note that val was
    also used to choose the best epoch, and half of it by an earlier --calibrate.

    \b
    Examples:
      edgeexit tune run/ckpt.pt --max-drop 0.01
      edgeexit tune run/ckpt.pt --front front.csv --plot front.png
      edgeexit tune --engine-dir out/ --objective latency --max-drop 0.01
      edgeexit tune run/ckpt.pt --max-drop 0.02 --confidence 0.95
      edgeexit tune --engine-dir out/ --images photos/ --max-disagreement 0.02
      edgeexit tune run/ckpt.pt --score all
    """
    from edgeexit.cli.inputs.tune_bundle import BundleTarget
    from edgeexit.cli.inputs.tune_checkpoint import read_checkpoint
    from edgeexit.cli.output.scores import print_areas
    from edgeexit.cli.output.tune import print_tuning
    from edgeexit.thresholds.tuning import tune

    check_together(options)
    promise = options.promise()
    target: CheckpointTarget | BundleTarget
    if options.path is not None:
        target = read_checkpoint(options.path, options, samples, network)
        if options.score == ALL:
            areas, unit = target.score_areas()
            print_areas(options.path, target.title, unit, areas, options.as_json)
            return
    else:
        assert options.engine_dir is not None
        target = BundleTarget(options.engine_dir, options, samples, backend)
    with target.held():
        subject = target.subject()
        with shown_progress("thresholds") as progress:
            report = partial(progress, "thresholds")
            tuning = tune(subject, options.limits, promise, options.grid_size, report)
        _write_front(tuning, options)
        is_written = tuning.thresholds is not None and not options.dry_run
        dropped = target.save(tuning) if is_written else None
    if dropped is not None and tuning.guarantee is None:
        remark(format_dropped(dropped))
    if options.as_json:
        print_json({**options.paths, **tuning.choice_json(), **tuning.front_json()})
    else:
        print_tuning(console(), tuning)
    if is_written:
        remark(f"wrote {target.written}")
        if not options.as_json:
            say(f"next: {target.next_command}")
    elif tuning.thresholds is None:
        remark("nothing was chosen: add a limit such as --max-drop 0.01")
    else:
        remark("nothing was written: a dry run")


def _write_front(tuning: Tuning, options: TuneOptions) -> None:
    from edgeexit.thresholds.front import write_front
    from edgeexit.thresholds.front_picture import write_tuned

    if options.front is not None:
        write_front(options.front, tuning.front, tuning.front_by_split)
        remark(f"wrote {options.front}: {len(tuning.front)} settings")
    if options.plot is not None:
        write_tuned(options.plot, tuning)
        remark(f"wrote {options.plot}")
