"""Validity and cost of guarantees for thresholds, written to docs/results/.

    python benchmarks/guarantee_results.py [--jobs 2] [--runs results] [-o docs/results]

This is a simulation: data sets are drawn repeatedly from a distribution whose risks are known
exactly, and thresholds are chosen on each draw, with a guarantee and without. Two distributions are
synthetic, so that a guarantee is easily broken; the others are the answers of trained networks to
the digits. The networks are those of digits_runs.py below ``--runs``, trained if they are
missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from digits_runs import METHODS, PATTERNS, SETTING, folder, process_pool, runs_parser, train_one
from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR, RISKS
from report_files import Row, markdown, write_results

from edgeexit.errors import TuningError
from edgeexit.evaluation import ExitPredictions, PathCosts, leaving_exits
from edgeexit.statistics.risk import LossCounts, best_stake, betting_p, binomial_p
from edgeexit.thresholds import Limits, best_setting, confidence_grids, search_thresholds
from edgeexit.thresholds.guarantee import Promise, exit_losses, find_guaranteed

CONFIDENCE = 0.95
DRAWS = 2000
SIZES = (400, 1000, 4000)
GRID_SIZE = 102
"""The smallest allowed: a draw takes 10 to 50 ms."""
ATOMS = 20_000
NETWORKS = ("1+3", "2+2", "3+1")
TARGETS = (0.01, 0.02, 0.05)
"""For the digits; errors are allowed this much above the last exit's."""
SHARES = ((0.0, 0.0), (0.005, 0.0), (0.01, 0.0), (0.01, 0.01), (0.02, 0.02), (0.03, 0.03))
"""Shares of images lost and gained, in the table of bounds."""
BOUND_TARGET = 0.02

REPORT = """# Thresholds with a guarantee

Written by `make results` (`benchmarks/guarantee_results.py`); the same figures are in
[guarantee.json](guarantee.json). The tables are generated; the comments on them describe the run
shown here.

`edgeexit tune --max-drop 0.02 --confidence 0.95` guarantees that the risk of its thresholds on
images from the same source is at most the target, with a probability of 0.95 over the draw of the
images that it is given. It uses learn-then-test: half of the images for candidates, and half to
test them in a fixed order (`edgeexit/thresholds/guarantee.py`).

## Does the guarantee hold?

From each distribution {draws:,} data sets were drawn, and thresholds chosen on each. **Broken** is
the share of data sets for which the risk of the chosen thresholds, which is known exactly, is above
the target: 5 % are allowed, and a share of 5 % in {draws:,} draws has a standard error of
{error:.2f} points. **None** is the share for which no setting was shown to be safe; no image leaves
early then. **Cost** is the mean over all draws, over the plain backbone's. *Plain* are thresholds
for the same target by `tune` without a guarantee, chosen on all of the images.

- *flat*: one early exit, whose losses do not depend on its confidence: the risk crosses the target
  at a threshold in the middle, and only luck distinguishes the settings next to it.
- *graded*: one early exit, which is wrong less often the higher its confidence.
- *digits {network}*: the answers of ResNet-20 with branches {network} to the {samples:,} digits
  that it was not trained on.

For flat and graded, targets are half of the loss if every image left at the first exit.

{simulated}

The largest share of broken guarantees is {largest:.2f} %. The plain choice exceeds the target in up
to {plain_largest:.0f} % of the draws: a limit that the images at hand just meet is a coin toss on
others. Far fewer than 5 % are broken where betting is conservative (Markov's inequality), or where
few images are lost and the largest permitted number of losses has a probability well below 5 %.

## Cost on the digits

Networks trained on 138 digits; thresholds chosen on the 1,300 of val and evaluated on the 359 of
test, by `tune --max-drop` alone and with `--confidence 0.95`.

{digits}

## Choice of the bound

The number of test images needed for a target of {target} at 95 %, if exactly these shares are lost
and gained (for a drop: wrong early and right at the last exit, and the reverse).
*Hoeffding-Bentkus* is the p-value for losses in [0, 1] (Angelopoulos et al., arXiv 2110.01052), on
the one-sided loss, and on the drop mapped from [-1, 1] to [0, 1], so that it accepts a loss with
gains. *Binomial* is its second term without the factor e, which losses of 0 and 1 do not need.
*Betting* uses the stake that is best at these shares.

{bounds}

The binomial tail never needs more images than Hoeffding-Bentkus, and no test of losses of 0 and 1
is more powerful. Betting is better where early exits gain about as much as they lose, since the
one-sided loss ignores gains. The mapped loss is useless: it ignores that most losses are 0. Each
candidate is tested by the bound that was tighter on the first half.

MAPIE 1.6 (`mapie.risk_control`) has learn-then-test with fixed sequences, and the same binomial
tail for binary risks. It computes a binary classifier's predictions again for each setting,
supports neither a loss with gains nor betting, and needs scikit-learn and SciPy wherever thresholds
are chosen; the part of it needed here is a sum of binomial probabilities.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """A distribution: every image of it has the same probability.

    Attributes:
        name: in tables.
        answers: of all exits to its images.
        costs: of the paths.
    """

    name: str
    answers: ExitPredictions
    costs: PathCosts

    def draw(self, images: int, seed: int) -> ExitPredictions:
        """Return answers to images drawn independently."""
        chosen = np.random.default_rng(seed).integers(0, len(self.answers.targets), images)
        return self.answers.take(chosen)

    def risk(self, thresholds: dict[str, float], risk: str) -> LossCounts:
        """Return the losses of all images, whose mean is the risk itself."""
        left_at = leaving_exits(self.answers, thresholds)
        losses = exit_losses(self.answers, risk)[left_at, np.arange(len(left_at))]
        return LossCounts.of(losses)

    def cost(self, thresholds: dict[str, float]) -> float:
        """Return the average cost over the plain backbone's."""
        assert self.costs.baseline is not None
        paid = np.array([*self.costs.paid(thresholds).values()])
        left_at = leaving_exits(self.answers, thresholds)
        return float(paid[left_at].mean()) / self.costs.in_unit(self.costs.baseline)


def made_up(name: str) -> Population:
    """Return ``flat`` or ``graded``: one early exit, answers of two classes.

    The last exit is right on 95 % of the images. ``flat``: the early exit loses 8 % and gains 4 %
    of all images, whatever its confidence. ``graded``: losses grow as confidence falls below 1.
    """
    rng = np.random.default_rng(7)
    confidence = rng.uniform(0.5, 1, ATOMS).astype(np.float32)
    lost, gained = np.full(ATOMS, 0.08), np.full(ATOMS, 0.04)
    if name == "graded":
        lost, gained = 0.6 * (1 - confidence), 0.2 * (1 - confidence)
    last_right = rng.uniform(size=ATOMS) < 0.95
    chance = rng.uniform(size=ATOMS)
    early_right = np.where(last_right, chance >= lost / 0.95, chance < gained / 0.05)
    labels = np.stack([~early_right, ~last_right]).astype(np.int64)  # the true class is 0
    answers = ExitPredictions(
        ("exit1", "final"),
        np.stack([confidence, np.ones(ATOMS, np.float32)]),
        labels,
        np.zeros(ATOMS, np.int64),
    )
    return Population(name, answers, PathCosts(("exit1", "final"), (40, 110), (10, 0), 100))


def network_answers(pattern: str, runs: Path) -> tuple[dict[str, ExitPredictions], PathCosts]:
    """Return the answers of a network of digits_runs.py to the digits of val and test."""
    from edgeexit.cost import network_cost
    from edgeexit.data import load_data
    from edgeexit.evaluation import predict
    from edgeexit.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(folder(runs, pattern, 0) / "ckpt.pt")
    net, data = checkpoint.build(), load_data(checkpoint.data)
    answers = {split: predict(net, data.splits[split]) for split in ("val", "test")}
    return answers, PathCosts.in_macs(network_cost(net))


def network_population(
    pattern: str, answers: Mapping[str, ExitPredictions], costs: PathCosts
) -> Population:
    """Return all answers of a network as a distribution."""
    val, test = answers["val"], answers["test"]
    both = ExitPredictions(
        val.exit_names,
        np.concatenate([val.confidences, test.confidences], axis=1),
        np.concatenate([val.labels, test.labels], axis=1),
        np.concatenate([val.targets, test.targets]),
    )
    return Population(f"digits {pattern}", both, costs)


def half_target(population: Population, risk: str) -> float:
    """Return half of the loss if every image leaves at exit1; for errors, above the last exit's."""
    counts = population.risk(dict.fromkeys(population.answers.exit_names[:-1], 0.0), risk)
    least = 1 - float(population.answers.correct[-1].mean()) if risk == ERROR else 0.0
    return round((least + counts.risk) / 2, 4)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Results over many draws; shares of 0 to 1, costs over the plain backbone's.

    ``plain_broken`` and ``plain_cost`` are those of thresholds without a guarantee.
    """

    population: str
    risk: str
    target: float
    images: int
    draws: int
    broken: float
    none: float
    cost: float
    by_betting: float
    plain_broken: float
    plain_cost: float


def simulate(
    population: Population, risk: str, target: float, images: int, draws: int = DRAWS
) -> Simulated:
    """Choose thresholds on ``draws`` data sets of ``images``, with and without a guarantee."""
    promise = Promise(risk, target, CONFIDENCE)
    found = np.array(
        [_once(population, population.draw(images, seed), promise) for seed in range(draws)]
    )
    broken, none, cost, betting, plain_broken, plain_cost = found.mean(axis=0).tolist()
    return Simulated(
        *(population.name, risk, target, images, draws, broken, none, cost, betting),
        *(plain_broken, plain_cost),
    )


def _once(population: Population, drawn: ExitPredictions, promise: Promise) -> tuple[float, ...]:
    """Return broken, none, cost and by betting; then broken and cost without a guarantee."""
    grids = confidence_grids(drawn, GRID_SIZE)
    answers = drawn.against_last() if promise.risk == DISAGREEMENT else drawn
    front = search_thresholds(answers, population.costs, grids)
    limits = Limits(max_drop=promise.target)
    if promise.risk == ERROR:
        limits = Limits(min_accuracy=1 - promise.target)
    try:
        plain = best_setting(front, limits).thresholds
        beside = (_is_broken(population, plain, promise), population.cost(plain))
    except TuningError:
        beside = (0.0, 1.0)
    try:
        found = find_guaranteed(drawn, population.costs, promise, GRID_SIZE)
    except TuningError:
        return (0.0, 1.0, 1.0, 0.0, *beside)
    kept = found.thresholds
    broken = _is_broken(population, kept, promise)
    return (broken, 0.0, population.cost(kept), float(found.by_betting), *beside)


def _is_broken(population: Population, thresholds: dict[str, float], promise: Promise) -> float:
    # a risk that equals the target up to rounding of a quotient is within it
    return float(population.risk(thresholds, promise.risk).risk > promise.target + 1e-12)


def sampling_error(draws: int) -> float:
    """Return two standard deviations of a share of 1 - confidence."""
    return 2 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / draws)


def cases(populations: Sequence[Population]) -> Iterator[tuple[Population, str, float, int]]:
    """Yield the cases to simulate."""
    for population in populations:
        last = 1 - float(population.answers.correct[-1].mean())
        for risk in RISKS:
            target = half_target(population, risk)
            if population.name.startswith("digits"):
                target = round(last, 4) + 0.02 if risk == ERROR else 0.02
            for images in SIZES:
                yield population, risk, target, images


def hoeffding_bentkus(mean: float, images: int, target: float) -> float:
    """Return the p-value of losses in [0, 1] (Angelopoulos et al., arXiv 2110.01052)."""
    low = min(mean, target)
    divergence = (1 - low) * math.log((1 - low) / (1 - target))
    divergence += low * math.log(low / target) if low > 0 else 0.0
    lost = min(images, math.ceil(round(images * mean, 9)))
    bentkus = math.e * binomial_p(LossCounts(images, lost), target)
    return min(1.0, math.exp(-images * divergence), bentkus)


def bounds(target: float = BOUND_TARGET) -> list[Row]:
    """Return how many images each bound needs at several shares of losses and gains."""
    level = 1 - CONFIDENCE
    rows: list[Row] = []
    for lost, gained in SHARES:
        found: dict[str, int | None] = dict.fromkeys(("hb", "mapped", "binomial", "betting"))
        for images in _growing():
            counts = LossCounts(images, round(images * lost), round(images * gained))
            p_values = {
                "hb": hoeffding_bentkus(counts.lost / images, images, target),
                "mapped": hoeffding_bentkus((1 + counts.risk) / 2, images, (1 + target) / 2),
                "binomial": binomial_p(counts, target),
                "betting": betting_p(counts, target, best_stake(counts, target)),
            }
            for name, p_value in p_values.items():
                if found[name] is None and p_value <= level:
                    found[name] = images
            if None not in found.values():
                break
        shown = [f"{count:,}" if count is not None else "never" for count in found.values()]
        rows.append((f"{100 * lost:g} %", f"{100 * gained:g} %", *shown))
    return rows


def _growing() -> Iterator[int]:
    """Yield numbers of images in steps of 2 %."""
    images = 100
    while images < 50_000:
        yield images
        images = math.ceil(images * 1.02)


def digits_rows(
    pattern: str, answers: Mapping[str, ExitPredictions], costs: PathCosts
) -> Iterator[Row]:
    """Yield the results of ``tune`` on the digits, with and without a guarantee."""
    test = Population("test", answers["test"], costs)
    front = search_thresholds(answers["val"], costs)
    for target in TARGETS:
        plain = best_setting(front, Limits(max_drop=target)).thresholds
        row = [pattern, f"{target:g}", *_on_test(test, plain)]
        try:
            kept = find_guaranteed(answers["val"], costs, Promise(DROP, target, CONFIDENCE))
        except TuningError:
            yield (*row, "not shown", "", "")
            continue
        more = test.cost(kept.thresholds) / test.cost(plain)
        yield (*row, *_on_test(test, kept.thresholds), f"{more:.2f}")


def _on_test(test: Population, thresholds: dict[str, float]) -> tuple[str, str]:
    return f"{test.cost(thresholds):.3f}", f"{100 * test.risk(thresholds, DROP).risk:.2f}"


def main() -> None:
    parser = runs_parser(__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS, help="of each case")
    options = parser.parse_args()
    start = time.monotonic()
    methods = {method.name: method for method in (*METHODS, *PATTERNS)}
    with process_pool(options.jobs) as pool:
        trained = [
            pool.submit(train_one, methods[pattern], 0, options.runs, SETTING)
            for pattern in NETWORKS
        ]
        for training in trained:
            print(training.result(), flush=True)
        networks = {pattern: network_answers(pattern, options.runs) for pattern in NETWORKS}
        network = network_population(NETWORKS[-1], *networks[NETWORKS[-1]])
        populations = [made_up("flat"), made_up("graded"), network]
        waiting = [pool.submit(simulate, *case, options.draws) for case in cases(populations)]
        simulated = [future.result() for future in waiting]
    digits = [row for pattern in NETWORKS for row in digits_rows(pattern, *networks[pattern])]
    write_report(options.output, simulated, digits, network)
    print(f"{(time.monotonic() - start) / 60:.1f} min")


def write_report(
    output: Path,
    simulated: Sequence[Simulated],
    digits: Sequence[Row],
    network: Population,
) -> None:
    """Write ``guarantee.md`` and ``guarantee.json``."""
    found = bounds()
    head: Row = (
        *("", "risk", "target", "images", "broken, %", "none, %", "by betting, %", "cost"),
        *("plain: broken, %", "plain: cost"),
    )
    rows: list[Row] = [
        (
            *(case.population, case.risk, f"{case.target:.4g}", f"{case.images:,}"),
            *(f"{100 * case.broken:.2f}", f"{100 * case.none:.1f}", f"{100 * case.by_betting:.0f}"),
            *(f"{case.cost:.3f}", f"{100 * case.plain_broken:.1f}", f"{case.plain_cost:.3f}"),
        )
        for case in simulated
    ]
    digits_head: Row = (
        *("", "`--max-drop`", "plain: MACs over plain backbone", "drop on test, points"),
        *("guaranteed: MACs", "drop on test, points", "guaranteed over plain"),
    )
    bounds_head: Row = (
        *("lost", "gained", "Hoeffding-Bentkus, one-sided", "Hoeffding-Bentkus, mapped"),
        *("binomial", "betting"),
    )
    draws = simulated[0].draws
    text = REPORT.format(
        draws=draws,
        error=100 * sampling_error(draws) / 2,
        network=network.name.removeprefix("digits "),
        samples=len(network.answers.targets),
        simulated=markdown([head, *rows]),
        largest=100 * max(case.broken for case in simulated),
        plain_largest=100 * max(case.plain_broken for case in simulated),
        digits=markdown([digits_head, *digits]),
        bounds=markdown([bounds_head, *found]),
        target=BOUND_TARGET,
    )
    values: dict[str, Any] = {
        "confidence": CONFIDENCE,
        "simulated": simulated,
        "digits": [digits_head, *digits],
        "bounds": [bounds_head, *found],
    }
    write_results(output, "guarantee", text, values)


if __name__ == "__main__":
    main()
