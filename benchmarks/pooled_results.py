"""Compare pooled branches, 3g+1g, with the paper's 3+1 on the digits; write docs/results/.

    python benchmarks/pooled_results.py [--seeds 5] [--jobs 2] [--runs results] [-o docs/results]

Both are trained by ``digits_runs.py``. Accuracies are compared seed by seed. Then
every path is timed, in FP32 and INT8, both networks interleaved.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from digits_runs import INPUT_SIZE, SETTING, Method, folder, results_parser, train_all
from report_files import Row, markdown, over_seeds, percent, write_results

from edgeexit.statistics import Interval

if TYPE_CHECKING:
    from edgeexit.training.comparison import ComparedRun

FLAT, POOLED = "3+1", "3g+1g"
METHODS = (Method("Coop"), Method(POOLED, {"branches": POOLED}))
BUDGETS = (0.5, 0.7)
"""Average costs, as shares of the plain backbone's, at which thresholds are chosen."""
ROUNDS = 500

REPORT = """# Pooled branches on the digits

Written by `make results` (`benchmarks/pooled_results.py`); the same figures are in
[pooled.json](pooled.json).

ResNet-20 as in [training.md](training.md): {epochs} epochs, few and small images, cooperative
training without a teacher, {seeds} seeds. `{pooled}` has the blocks of `{flat}`, but classifies the
mean of their features instead of all of them. The difference is {pooled} - {flat}, seed by seed,
with its 95 % interval by Student's t; if that contains 0, the two cannot be told apart.

{accuracies}

*Adaptive* is the accuracy with early exit, at the thresholds that are best on the validation images
within an average cost (Eq. 5), given as a share of the plain backbone's.

{times}

{pooled} over {flat}: MACs of the path, and its time in ONNX Runtime on one thread, interleaved
({cpu}). At 16x16 a flattened classifier has 16 times the weights of a pooled one, 41 kB; on
ResNet-18 at 224 it has 49 times as many, 100 MB: see [INT8](../guides/int8.md).
"""


def main() -> None:
    parser = results_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="calls of each path")
    options = parser.parse_args()
    setting = train_all([METHODS], options)
    accuracies = [compare(options.runs, method, options.seeds) for method in METHODS]
    write_report(options.output, accuracies, path_ratios(options.rounds), setting, options.seeds)


def compare(runs: Path, method: Method, seeds: int) -> dict[str, list[float]]:
    """Return by figure the result of each seed's network on the test images."""
    from edgeexit.data import load_data
    from edgeexit.thresholds import Limits
    from edgeexit.training.comparison import Execution, compare_run, load_finished_run

    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        run = load_finished_run(folder(runs, method.name, seed))
        data = load_data(run.config.data)
        compared: ComparedRun | None = None
        for share in BUDGETS:
            limits = Limits(max_cost=share * plain_macs())
            compared = compare_run(run, data, limits, Execution())
            figure = f"adaptive, {share:g} of the cost"
            found.setdefault(figure, []).append(compared.report.adaptive_accuracy)
        assert compared is not None
        for exit_ in compared.report.exits:
            found.setdefault(exit_.name, []).append(exit_.accuracy)
    return found


def plain_macs() -> int:
    """Return the cost of the plain backbone, which both networks share."""
    from edgeexit.cost import network_cost
    from edgeexit.models import MultiExitNet, make_spec

    net = MultiExitNet(make_spec(SETTING["backbone"], "none", 10, INPUT_SIZE))
    return network_cost(net).baseline_macs


def path_ratios(rounds: int) -> dict[str, dict[str, float]]:
    """Return by exit the MACs and the times of the pooled network's path over the other one's."""
    from cpu_precision import CPU, FP32, take_turns, write
    from edgeexit_runtime import load
    from random_bundles import Network

    from edgeexit.planning.candidates import noise

    with TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        sessions = {}
        for branches in (FLAT, POOLED):
            network = Network(SETTING["backbone"], branches, 10, INPUT_SIZE[1])
            for form in (FP32, CPU):
                bundle = write(network, form, Path(temporary))
                session = stack.enter_context(load(bundle, threads=1))
                for exit_ in session.manifest.exits:
                    sessions[f"{branches} {form}", exit_.name] = session
        times = take_turns(sessions, noise(1, INPUT_SIZE, seed=0), rounds, seed=0)
        flat, pooled = (sessions[f"{name} {FP32}", "final"].manifest for name in (FLAT, POOLED))
        return {
            one.name: {
                "macs": other.path_macs / one.path_macs,
                **{
                    form: times[f"{POOLED} {form}", one.name] / times[f"{FLAT} {form}", one.name]
                    for form in (FP32, CPU)
                },
            }
            for one, other in zip(flat.exits, pooled.exits, strict=True)
        }


def verdict(difference: Interval) -> str:
    """Name the better pattern, if the difference in favor of the pooled one is significant."""
    if difference.is_above(0):
        return f"{POOLED} is better"
    return f"{FLAT} is better" if difference.is_below(0) else "no significant difference"


def write_report(
    output: Path,
    accuracies: Sequence[dict[str, list[float]]],
    ratios: dict[str, dict[str, float]],
    setting: dict[str, Any],
    seeds: int,
) -> None:
    """Write ``pooled.md`` and ``pooled.json`` to the folder ``output``."""
    from edgeexit_runtime.system.machine import cpu_model

    flat, pooled = accuracies
    rows: list[Row] = [("accuracy on the test images, %", FLAT, POOLED, "difference in points", "")]
    differences = {}
    for figure in sorted(flat, key=lambda name: name.startswith("adaptive")):
        points = [100 * (b - a) for a, b in zip(flat[figure], pooled[figure], strict=True)]
        difference = differences[figure] = over_seeds(points)
        shown = (percent(values[figure]) for values in accuracies)
        rows.append((figure, *shown, f"{difference:+.2f}", verdict(difference)))
    times: list[Row] = [("to", "Eq. 5", "time in FP32", "time in INT8")]
    for name, ratio in ratios.items():
        times.append((name, *(f"{value:.3f}" for value in ratio.values())))
    text = REPORT.format(
        epochs=setting["epochs"],
        seeds=seeds,
        flat=FLAT,
        pooled=POOLED,
        accuracies=markdown(rows),
        times=markdown(times),
        cpu=cpu_model(),
    )
    about = {**setting, "input_size": INPUT_SIZE, "seeds": seeds}
    accuracy = {FLAT: flat, POOLED: pooled}
    values = {"accuracy": accuracy, "differences": differences, "ratios": ratios}
    write_results(output, "pooled", text, {"setting": about, **values})


if __name__ == "__main__":
    main()
