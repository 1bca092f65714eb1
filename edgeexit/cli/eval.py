"""``edgeexit eval``: what each exit of a trained network is worth, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.common import print_json, say, taken
from edgeexit.cli.inputs.bundle_samples import bundle_data, predict_bundle_split
from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network, network_options
from edgeexit.cli.inputs.samples import (
    SampleOptions,
    bundle_sample_options,
    load_samples,
    predict_split,
)
from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import BackendOptions, check_options_of, run_options
from edgeexit.cli.output.adaptive import judgement_table, judgement_text
from edgeexit.cli.output.table import print_table
from edgeexit.formats import format_guarantee

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.cost import ExitCosts
    from edgeexit.evaluation import ExitPredictions


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """A network on a split.

    Attributes:
        what: ``checkpoint`` or ``engine_dir``, and where it is.
        network: its name in words.
        dataset: what it was run on.
        thresholds: its own.
        guarantee: what was once shown of them.
        predictions, costs: of every exit.
    """

    what: tuple[str, str]
    network: str
    dataset: str
    thresholds: Mapping[str, float]
    guarantee: Guarantee | None
    predictions: ExitPredictions
    costs: ExitCosts


@click.command("eval")
@click.argument("path", metavar="[CKPT]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--engine-dir",
    type=click.Path(path_type=Path),
    help="Evaluate a bundle instead, by its own graphs.",
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

    CKPT is what train, tune and export take, too, or a file of weights that something else wrote,
    with its network named by --model. --engine-dir takes what export wrote, and --backend says what
    runs it.

    \b
    Examples:
      edgeexit eval run/ckpt.pt --thresholds 0.6,0.7
      edgeexit eval --engine-dir out/ --backend openvino
      edgeexit eval weights.pth --model my_models:MSDNet --outputs 0,1,2 --dataset digits
    """
    from edgeexit_runtime.bundle.schema import encode

    from edgeexit.evaluation import PathCosts
    from edgeexit.thresholds.tuning import Subject, judge

    if (path is None) == (engine_dir is None):
        got = "none" if path is None else "both"
        raise click.UsageError(f"expected a checkpoint CKPT or --engine-dir, got {got}")
    check_options_of(engine_dir)
    network, backend = taken(NetworkOptions, values), taken(BackendOptions, values)
    samples = SampleOptions(**values)
    if path is not None:
        found = _checkpoint(path, network, samples, split)
    else:
        assert engine_dir is not None
        found = _bundle(engine_dir, backend, samples, split)
    branches = found.predictions.exit_names[:-1]
    gammas = found.thresholds if thresholds is None else _by_name(thresholds, branches)
    costs = PathCosts.in_macs(found.costs.exits)
    judgement = judge(Subject(found.costs, costs, {split: found.predictions}), split, gammas)
    guarantee = found.guarantee
    if as_json:
        what, where = found.what
        held = guarantee if guarantee is not None and guarantee.holds_for(gammas) else None
        about = {what: where, "dataset": found.dataset, "split": split}
        print_json({**about, **encode(judgement.report), "guarantee": encode(held)})
        return
    say(judgement_text(judgement, costs, f"{split} images"))
    print_table(judgement_table(judgement, costs, f"{found.network}, on {found.dataset}"))
    if guarantee is not None:
        say(format_guarantee(guarantee, gammas))


def _checkpoint(
    path: Path, network: NetworkOptions, samples: SampleOptions, split: str
) -> _Evaluated:
    from edgeexit.cost import network_cost

    checkpoint = load_network(path, network, samples)
    net = checkpoint.build(network.factory())
    data = load_samples(checkpoint, samples)
    return _Evaluated(
        ("checkpoint", str(path)),
        f"{checkpoint.spec.backbone}, branches {checkpoint.spec.pattern}",
        samples.dataset or checkpoint.data.name,
        checkpoint.thresholds,
        checkpoint.guarantee,
        predict_split(net, data, split, samples),
        network_cost(net),
    )


def _bundle(
    folder: Path, backend: BackendOptions, samples: SampleOptions, split: str
) -> _Evaluated:
    import edgeexit_runtime as ee

    from edgeexit.cost import bundle_costs

    manifest = ee.load_manifest(folder)
    data = bundle_data(folder, manifest, samples)
    with ee.load(folder, **backend.chosen(samples.device)) as session:
        predictions = predict_bundle_split(session, data.splits[split], split, samples)
        device = session.device
    model = manifest.model
    return _Evaluated(
        ("engine_dir", str(folder)),
        f"{model.backbone}, branches {model.branches}, {manifest.precision} by {device}",
        samples.dataset or str(manifest.data.get("name")),
        manifest.thresholds,
        manifest.guarantee,
        predictions,
        bundle_costs(manifest),
    )


def _by_name(thresholds: tuple[float, ...], branches: tuple[str, ...]) -> dict[str, float]:
    if len(thresholds) != len(branches):
        raise click.BadParameter(
            f"expected one for each of the {len(branches)} branches "
            f"({', '.join(branches) or 'none'}), got {len(thresholds)}",
            param_hint="'--thresholds'",
        )
    return dict(zip(branches, thresholds, strict=True))
