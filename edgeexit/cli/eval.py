"""``edgeexit eval``: what each exit of a trained network is worth, and all of them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeexit.cli.common import console, print_json
from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network, network_options
from edgeexit.cli.inputs.samples import SampleOptions, load_samples, predict_split, sample_options
from edgeexit.cli.output.adaptive import exit_table, summary_table


class ThresholdsType(click.ParamType[tuple[float, ...]]):
    """Thresholds in the order of the exits: ``0.6,0.7``, or ``never`` where nobody shall leave."""

    name = "thresholds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        from edgeexit_runtime.gate import NEVER

        thresholds = []
        for text in str(value).split(","):
            try:
                threshold = NEVER if text.strip().lower() == "never" else float(text)
            except ValueError:
                threshold = -1.0
            if not (0 <= threshold <= 1 or threshold == NEVER):
                self.fail(f"expected numbers from 0 to 1 or 'never', got {text!r}", param, ctx)
            thresholds.append(threshold)
        return tuple(thresholds)


@click.command("eval")
@click.argument("path", metavar="CKPT", type=click.Path(path_type=Path))
@click.option(
    "--split",
    default="test",
    show_default=True,
    type=click.Choice(["train", "val", "test"]),
)
@click.option(
    "--thresholds",
    type=ThresholdsType(),
    metavar="T1,T2,...",
    help="One per branch, 0 to 1 or never.  [default: those of the checkpoint]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@network_options
@sample_options
def command(
    path: Path,
    split: str,
    thresholds: tuple[float, ...] | None,
    as_json: bool,
    model: str | None,
    outputs: str,
    input_size: tuple[int, int] | None,
    **options: Any,
) -> None:
    """Print accuracy and cost of a trained network: exit by exit, and with early exit.

    A sample leaves at the first exit whose largest softmax value is at least the threshold. The
    backbone alone is the final exit over all samples.

    CKPT is what train, tune and export take, too, or a file of weights that something else wrote,
    with its network named by --model.

    \b
    Examples:
      edgeexit eval run/ckpt.pt --thresholds 0.6,0.7
      edgeexit eval weights.pth --model my_models:MSDNet --outputs 0,1,2 --dataset digits
    """
    from edgeexit_runtime.bundle.schema import encode

    from edgeexit.cost import network_cost
    from edgeexit.evaluation import evaluate_adaptive

    samples = SampleOptions(**options)
    network = NetworkOptions(model, outputs, input_size)
    checkpoint = load_network(path, network, samples)
    branches = checkpoint.spec.exit_names[:-1]
    gammas = checkpoint.thresholds if thresholds is None else _by_name(thresholds, branches)
    net = checkpoint.build(network.factory())
    data = load_samples(checkpoint, samples)
    report = evaluate_adaptive(predict_split(net, data, split, samples), gammas, network_cost(net))
    dataset = samples.dataset or checkpoint.data.name
    if as_json:
        about = {"checkpoint": str(path), "dataset": dataset, "split": split}
        print_json({**about, **encode(report)})
        return
    title = f"{checkpoint.spec.backbone}, branches {checkpoint.spec.pattern}, on {dataset}"
    out = console()
    out.print(exit_table({split: report}, title))
    out.print(summary_table({split: report}))


def _by_name(thresholds: tuple[float, ...], branches: tuple[str, ...]) -> dict[str, float]:
    if len(thresholds) != len(branches):
        raise click.BadParameter(
            f"expected one for each of the {len(branches)} branches "
            f"({', '.join(branches) or 'none'}), got {len(thresholds)}",
            param_hint="'--thresholds'",
        )
    return dict(zip(branches, thresholds, strict=True))
