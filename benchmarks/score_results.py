"""Compare scores on the digits over several seeds: docs/results/scores.md.

    python benchmarks/score_results.py [--seeds 5] [--jobs 2] [--runs results] [-o docs/results]

Networks are those of digits_runs.py with branches 3+1, trained below ``--runs`` if they are
missing. The comparison is that of ``edgeexit tune --score all``.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from digits_runs import METHODS, folder, results_parser, train_all
from report_files import Row, markdown, over_seeds, write_results

from edgeexit.scores import SCORES, SOFTMAX
from edgeexit.statistics import Interval
from edgeexit.thresholds.score_areas import ScoreArea, compare_scores

NETWORK = "Coop"  # branches 3+1

REPORT = """# Scores

Written by `make results` (`benchmarks/score_results.py`); the same figures are in
[scores.json](scores.json). The tables and the verdict are generated.

Definitions of an exit's confidence, by `--score` of `edgeexit tune` and `export`:

{about}

ResNet-20 with branches 3+1 on the digits at 16x16 pixels, trained on 138 images, {seeds} seeds.
Thresholds are chosen on val (1,300 images) and evaluated on test (359). The *area* is the accuracy
on test, averaged over all budgets of average MACs from the cheapest setting to the most expensive
(`edgeexit/thresholds/score_areas.py`). Differences are taken seed by seed; intervals are 95 % by
Student's t over seeds. One test image is 0.28 points.

{table}

**{verdict}.**

Differences from softmax in points for each seed, with the intervals over test images that `tune
--score all` prints:

{by_seed}
"""


def network_areas(path: Path) -> list[ScoreArea]:
    """Return the area of each score for one network, ``softmax`` first."""
    from edgeexit.cost import network_cost
    from edgeexit.data import load_data
    from edgeexit.evaluation import PathCosts, predict
    from edgeexit.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    net, data = checkpoint.build(), load_data(checkpoint.data)
    answers = {}
    for score in sorted(SCORES.names(), key=lambda name: name != SOFTMAX):
        net.score = score
        answers[score] = (predict(net, data.splits["val"]), predict(net, data.splits["test"]))
    return compare_scores(answers, PathCosts.in_macs(network_cost(net)))


def write_report(output: Path, found: Sequence[Sequence[ScoreArea]]) -> None:
    """Write ``scores.md`` and ``scores.json``."""
    names = [area.score for area in found[0]]
    by_score = dict(zip(names, zip(*found, strict=True), strict=True))
    above = {
        name: over_seeds([100 * area.over_softmax.value for area in areas])
        for name, areas in by_score.items()
    }
    head: Row = ("", "area, %", "over softmax, points", "average cost over softmax's")
    rows: list[Row] = [
        (
            f"`{name}`",
            f"{over_seeds([100 * area.area.value for area in areas]):.2f}",
            "" if name == SOFTMAX else f"{above[name]:+.2f}",
            f"{statistics.fmean(area.average_cost.value for area in areas):.3f}",
        )
        for name, areas in by_score.items()
    ]
    others = [name for name in names if name != SOFTMAX]
    seed_rows: list[Row] = [
        (seed, *(f"{_points(area.over_softmax):+.2f}" for area in areas if area.score != SOFTMAX))
        for seed, areas in enumerate(found)
    ]
    text = REPORT.format(
        about="\n".join(f"- `{name}`: {SCORES[name].about}" for name in names),
        seeds=len(found),
        table=markdown([head, *rows]),
        verdict=verdict({name: above[name] for name in others}),
        by_seed=markdown([("seed", *(f"`{name}`" for name in others)), *seed_rows]),
    )
    write_results(output, "scores", text, {"seeds": found, "over_softmax": above})


def verdict(above: dict[str, Interval]) -> str:
    """Name the scores that differ significantly from softmax."""
    words = [
        f"`{name}` is {'better' if interval.is_above(0) else 'worse'} than `{SOFTMAX}`"
        for name, interval in above.items()
        if interval.is_above(0) or interval.is_below(0)
    ]
    return "; ".join(words) or f"No score differs significantly from `{SOFTMAX}`: none is better"


def _points(fraction: Interval) -> Interval:
    return Interval(100 * fraction.value, 100 * fraction.low, 100 * fraction.high)


def main() -> None:
    options = results_parser(__doc__).parse_args()
    method = next(method for method in METHODS if method.name == NETWORK)
    train_all([[method]], options)
    found = [
        network_areas(folder(options.runs, NETWORK, seed) / "ckpt.pt")
        for seed in range(options.seeds)
    ]
    write_report(options.output, found)


if __name__ == "__main__":
    main()
