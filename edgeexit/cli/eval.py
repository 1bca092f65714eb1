"""``edgeexit eval``: accuracy and cost of each exit of a trained network, and of early exit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.opened import open_bundle, open_checkpoint
from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network, network_options
from edgeexit.cli.inputs.samples import SampleOptions, bundle_sample_options
from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import BackendOptions, check_options_of, run_options
from edgeexit.cli.options.shared import taken
from edgeexit.cli.output.adaptive import judgement_table, judgement_text
from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import format_guarantee


@click.command("eval")
@click.argument("path", metavar="[CKPT]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--engine-dir",
    type=click.Path(path_type=Path),
    help="Evaluate a bundle instead, with its own graphs.",
)
@click.option(
    "--split",
    default="test",
    show_default=True,
    type=click.Choice(["train", "val", "test"]),
)
@click.option(
    "--thresholds",
    type=typed.thresholds,
    metavar="T1,T2,...",
    help="One per branch, 0 to 1 or never.  [default: those of the checkpoint or bundle]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@network_options
@run_options
@bundle_sample_options
def command(
    path: Path | None,
    engine_dir: Path | None,
    split: str,
    thresholds: tuple[float, ...] | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Print accuracy and cost of a trained network: exit by exit, and with early exit.

    A sample leaves at the first exit whose confidence is at least the threshold. The
    backbone alone is the final exit over all samples.

    CKPT is a checkpoint of train or tune, or a file of weights from another program, with its
    network given by --model. --engine-dir takes a bundle of export, which --backend runs.

    \b
    Examples:
      edgeexit eval run/ckpt.pt --thresholds 0.6,0.7
      edgeexit eval --engine-dir out/ --backend openvino
      edgeexit eval weights.pth --model my_models:MSDNet --outputs 0,1,2 --dataset digits
    """
    from edgeexit.evaluation import PathCosts
    from edgeexit.thresholds.tuning import judge

    check_options_of(path, engine_dir)
    network, backend = taken(NetworkOptions, values), taken(BackendOptions, values)
    samples = SampleOptions(**values)
    if path is not None:
        checkpoint = load_network(path, network, samples)
        opening = open_checkpoint(checkpoint, network.factory(), samples)
    else:
        assert engine_dir is not None
        opening = open_bundle(engine_dir, backend, samples)
    with opening as found:
        predictions = found.predict(split)
    branches, guarantee = predictions.exit_names[:-1], found.guarantee
    gammas = found.thresholds if thresholds is None else _by_name(thresholds, branches)
    costs = PathCosts.in_macs(found.costs.exits)
    judgement = judge(predictions, gammas, found.costs, costs)
    if as_json:
        where = {"engine_dir": str(engine_dir)} if path is None else {"checkpoint": str(path)}
        held = guarantee if guarantee is not None and guarantee.holds_for(gammas) else None
        about = {**where, "dataset": found.dataset, "split": split}
        print_json({**about, **encode(judgement.report), "guarantee": held})
        return
    form = f", {found.precision} by {found.device}" if found.precision else ""
    title = f"{found.backbone}, branches {found.branches}{form}, on {found.dataset}"
    say(judgement_text(judgement, costs, f"{split} images"))
    print_table(judgement_table(judgement, costs, title))
    if guarantee is not None:
        say(format_guarantee(guarantee, gammas))


def _by_name(thresholds: tuple[float, ...], branches: tuple[str, ...]) -> dict[str, float]:
    if len(thresholds) != len(branches):
        raise click.BadParameter(
            f"expected one for each of the {len(branches)} branches "
            f"({', '.join(branches) or 'none'}), got {len(thresholds)}",
            param_hint="'--thresholds'",
        )
    return dict(zip(branches, thresholds, strict=True))
