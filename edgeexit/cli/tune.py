"""``edgeexit tune``: the best thresholds under a constraint, chosen on val, reported on test."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.common import (
    console,
    import_model,
    model_option,
    print_json,
    status_console,
)
from edgeexit.cli.constraints import (
    constraint_options,
    describe_constraint,
    only_constraint,
    select_setting,
)
from edgeexit.cli.samples import SampleOptions, load_samples, predict_split, sample_options
from edgeexit.cli.tables import exit_table, summary_table

if TYPE_CHECKING:
    from edgeexit.evaluation import AdaptiveReport
    from edgeexit.models import MultiExitNet
    from edgeexit.training.checkpoint import Checkpoint


@click.command("tune")
@click.argument("path", metavar="CKPT", type=click.Path(path_type=Path))
@constraint_options
@click.option(
    "--grid-size",
    type=int,
    help="Most values tried per exit.  [default: by the number of branches, 200 for three]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Checkpoint to write with the new thresholds; may be CKPT itself.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@model_option
@sample_options
def command(
    path: Path,
    min_accuracy: float | None,
    max_drop: float | None,
    max_macs: float | None,
    grid_size: int | None,
    output: Path | None,
    as_json: bool,
    model: str | None,
    **options: Any,
) -> None:
    """Choose the thresholds that are best under one constraint, by exact search.

    They are chosen on the validation images and reported on the test images beside them. Every
    combination of the grid's values is counted, for up to three branches.

    \b
    Example:
      edgeexit tune run/ckpt.pt --max-drop 0.01 -o run/tuned.pt
    """
    from edgeexit.training.checkpoint import load_checkpoint, save_checkpoint

    constraint, limit = only_constraint(
        {"min_accuracy": min_accuracy, "max_drop": max_drop, "max_macs": max_macs}
    )
    samples = SampleOptions(**options)
    checkpoint = load_checkpoint(path)
    net = checkpoint.build(import_model(model))
    choice = _choose(checkpoint, net, samples, constraint, limit, grid_size)
    tuning = {
        "dataset": samples.dataset or checkpoint.data.name,
        "constraint": {constraint: limit},
        "chosen_on": "val",
        **choice.as_json(),
    }
    if output is not None:
        metrics = {**checkpoint.metrics, "tuning": tuning}
        tuned = dataclasses.replace(checkpoint, thresholds=choice.thresholds, metrics=metrics)
        save_checkpoint(output, tuned)
    if as_json:
        print_json({"checkpoint": str(path), "output": output and str(output), **tuning})
    else:
        title = f"{checkpoint.spec.backbone}, branches {checkpoint.spec.pattern}"
        out = console()
        out.print(exit_table(choice.reports, f"{title}, thresholds chosen on val"))
        out.print(summary_table(choice.reports))
        out.print(
            f"{describe_constraint(constraint, limit)}; the best of {choice.settings:,} settings"
        )
    status_console().print(
        "nothing was written: add -o CKPT to keep these thresholds"
        if output is None
        else f"wrote {output}",
        soft_wrap=True,
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """Thresholds that were chosen on val, and what they give on each split."""

    thresholds: dict[str, float]
    settings: int  # number that it is the best of
    reports: dict[str, AdaptiveReport]

    def as_json(self) -> dict[str, Any]:
        from edgeexit_runtime.schema import encode

        return {"thresholds": self.thresholds, "settings": self.settings, **encode(self.reports)}


def _choose(
    checkpoint: Checkpoint,
    net: MultiExitNet,
    samples: SampleOptions,
    constraint: str,
    limit: float,
    grid_size: int | None,
) -> _Choice:
    from edgeexit.cost import network_cost
    from edgeexit.evaluation import confidence_grids, evaluate_adaptive, search_thresholds

    data = load_samples(checkpoint, samples)
    cost = network_cost(net)
    predictions = {"val": predict_split(net, data, "val", samples)}
    path_macs = {exit_.name: exit_.path_macs for exit_ in cost.exits}
    grids = confidence_grids(predictions["val"], grid_size)
    result = search_thresholds(predictions["val"], path_macs, grids)
    thresholds = select_setting(result, constraint, limit).thresholds
    predictions["test"] = predict_split(net, data, "test", samples)
    reports = {
        split: evaluate_adaptive(answers, thresholds, cost)
        for split, answers in predictions.items()
    }
    return _Choice(thresholds, result.correct.size, reports)
