"""``edgeexit eval``: accuracy and cost of each exit of a trained network, and of early exit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.inputs.opened import open_bundle, open_checkpoint
from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network
from edgeexit.cli.inputs.samples import BundleSampleOptions
from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import BackendOptions, check_options_of
from edgeexit.cli.options.fields import PATH, argument, flag, option, takes
from edgeexit.cli.output.adaptive import judgement_table, judgement_text
from edgeexit.cli.terminal import print_json, print_table, say
from edgeexit.formats import format_guarantee


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What is evaluated, at which thresholds."""

    path: Path | None = argument("[CKPT]", required=False, type=PATH)
    engine_dir: Path | None = option("Evaluate a bundle instead, with its own graphs.", type=PATH)
    split: str = option(None, default="test", type=click.Choice(["train", "val", "test"]))
    thresholds: tuple[float, ...] | None = option(
        "One per branch, 0 to 1 or never.  [default: those of the checkpoint or bundle]",
        type=typed.thresholds,
        metavar="T1,T2,...",
    )
    as_json: bool = flag("Print JSON.", "--json")


@click.command("eval")
@takes(EvalOptions)
@takes(NetworkOptions)
@takes(BackendOptions)
@takes(BundleSampleOptions)
def command(
    options: EvalOptions,
    network: NetworkOptions,
    backend: BackendOptions,
    samples: BundleSampleOptions,
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

    check_options_of(options.path, options.engine_dir)
    if options.path is not None:
        checkpoint = load_network(options.path, network, samples)
        opening = open_checkpoint(checkpoint, network.factory(), samples)
        where = {"checkpoint": str(options.path)}
    else:
        assert options.engine_dir is not None
        opening = open_bundle(options.engine_dir, backend, samples)
        where = {"engine_dir": str(options.engine_dir)}
    with opening as found:
        predictions = found.predict(options.split)
    guarantee, gammas = found.guarantee, found.thresholds
    if options.thresholds is not None:
        gammas = _by_name(options.thresholds, predictions.exit_names[:-1])
    costs = PathCosts.in_macs(found.costs)
    judgement = judge(predictions, gammas, found.costs, costs)
    if options.as_json:
        held = guarantee if guarantee is not None and guarantee.holds_for(gammas) else None
        about = {**where, "dataset": found.dataset, "split": options.split}
        print_json({**about, **encode(judgement.report), "guarantee": held})
        return
    form = f", {found.precision} by {found.device}" if found.precision else ""
    title = f"{found.backbone}, branches {found.branches}{form}, on {found.dataset}"
    say(judgement_text(judgement, costs, f"{options.split} images"))
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
