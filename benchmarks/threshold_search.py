"""Time, memory and quality of the threshold search on 50,000 samples.

    python benchmarks/threshold_search.py [--samples 50000] [--seed 0] [--networks 3]

Three parts: the exact search over three branches on the grids of ``edgeexit tune``; the local
search used for more branches, compared with the exact one on grids that are small enough for both;
and the local search on networks that are too large for the exact one. Predictions and costs are
random, from a seed, and harder than those of trained networks: branches cost up to as much as
stages, so that the set of worthwhile exits varies along the front.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit.evaluation import ExitPredictions, PathCosts
from edgeexit.thresholds import confidence_grids, search, search_thresholds
from edgeexit.thresholds.front import Front

EXACT_BRANCHES, EXACT_GOAL_S, EXACT_GOAL_MIB = 3, 2.0, 2048
SMALL_GRIDS = {3: 102, 4: 60, 5: 26}  # values per exit: up to 13 million settings
MANY_BRANCHES, LOCAL_GOAL_S, GAP_GOAL = (4, 6, 10), 30.0, 0.001


@dataclass(frozen=True, slots=True)
class Gap:
    """Extra cost of the settings of one front at equal accuracy, as fractions.

    ``missed`` is the share of the exact front's accuracies that the other does not reach at all.
    """

    mean: float
    most: float
    share_above_goal: float
    missed: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", type=int, default=3, help="for each gap")
    options = parser.parse_args()
    print(f"{options.samples:,} samples, numpy {np.__version__}")
    show_exact(options.samples, options.seed)
    seeds = range(options.seed, options.seed + options.networks)
    for branches in SMALL_GRIDS:
        show_gaps(branches, options.samples, seeds)
    for branches in MANY_BRANCHES:
        show_local(branches, options.samples, options.seed)


def show_exact(samples: int, seed: int) -> None:
    """Print time and memory of the exact search."""
    predictions, costs = random_network(samples, EXACT_BRANCHES, seed)
    before_mib = peak_memory_mib()
    front, seconds = timed(lambda: search_thresholds(predictions, costs))
    used_mib = peak_memory_mib() - before_mib
    met = seconds < EXACT_GOAL_S and peak_memory_mib() < EXACT_GOAL_MIB
    print(
        f"exact, {EXACT_BRANCHES} branches: {front.settings:,} settings, {len(front)} on the "
        f"front, {seconds:.2f} s, {used_mib:.0f} MiB above the {before_mib:.0f} MiB of the imports "
        f"(goal {EXACT_GOAL_S:.0f} s, {EXACT_GOAL_MIB} MiB: {'met' if met else 'MISSED'})"
    )


def show_gaps(branches: int, samples: int, seeds: range) -> None:
    """Print the distance of the local search's front from the exact one."""
    for seed in seeds:
        predictions, costs = random_network(samples, branches, seed)
        grids = quantile_grids(predictions, SMALL_GRIDS[branches])
        exact = searched_as(len(grids), predictions, costs, grids)
        local, seconds = timed(lambda p=predictions, c=costs, g=grids: searched_as(0, p, c, g))  # type: ignore[misc]
        gap = gap_between(exact, local)
        print(
            f"local against exact, {branches} branches, seed {seed}: {exact.settings:,} settings, "
            f"{len(exact)} on the front; costs {gap.mean:.4%} more on average, {gap.most:.3%} at "
            f"most, above {GAP_GOAL:.1%} at {gap.share_above_goal:.2%} of the accuracies "
            f"({gap.missed:.2%} not reached); {seconds:.1f} s"
        )


def show_local(branches: int, samples: int, seed: int) -> None:
    """Print the time of the local search on the grids of ``edgeexit tune``."""
    predictions, costs = random_network(samples, branches, seed)
    front, seconds = timed(
        lambda: searched_as(0, predictions, costs, confidence_grids(predictions))
    )
    print(
        f"local, {branches} branches: {front.settings:,} settings counted, {len(front)} on the "
        f"front, {seconds:.1f} s (goal {LOCAL_GOAL_S:.0f} s: "
        f"{'met' if seconds < LOCAL_GOAL_S else 'MISSED'})"
    )


def searched_as(
    max_exact: int,
    predictions: ExitPredictions,
    costs: PathCosts,
    grids: tuple[NDArray[np.float32], ...],
) -> Front:
    """Search exactly up to ``max_exact`` branches, locally with more."""
    usual = search.MAX_EXACT_BRANCHES
    search.MAX_EXACT_BRANCHES = max_exact
    try:
        return search_thresholds(predictions, costs, grids)
    finally:
        search.MAX_EXACT_BRANCHES = usual


def gap_between(exact: Front, other: Front) -> Gap:
    """Compare the costs at every accuracy of the exact front."""
    places = np.searchsorted(other.correct, exact.correct)  # the cheapest that is as accurate
    reached = places < len(other)
    more = other.cost[places[reached]] / exact.cost[reached] - 1
    return Gap(
        float(more.mean()),
        float(more.max()),
        float((more > GAP_GOAL).mean()),
        float((~reached).mean()),
    )


def random_network(samples: int, branches: int, seed: int) -> tuple[ExitPredictions, PathCosts]:
    """Return predictions that improve with the exit, as trained ones do, and costs."""
    random = np.random.default_rng(seed)
    exits = branches + 1
    confidences = random.beta(np.linspace(2, 20, exits)[:, None], 1, (exits, samples))
    targets = random.integers(0, 100, samples)
    right = random.random((exits, samples)) < confidences
    labels = np.where(right, targets, random.integers(0, 100, (exits, samples)))
    names = (*(f"exit{number}" for number in range(1, exits)), "final")
    predictions = ExitPredictions(names, confidences.astype(np.float32), labels, targets)
    stages = random.integers(10_000_000, 40_000_000, exits)
    branch_macs = random.integers(1_000_000, 20_000_000, exits)
    paths = np.cumsum(stages + branch_macs)
    costs = PathCosts(
        names,
        tuple(paths.tolist()),
        tuple(branch_macs.tolist()),
        int(stages.sum() + branch_macs[-1]),
    )
    return predictions, costs


def quantile_grids(predictions: ExitPredictions, size: int) -> tuple[NDArray[np.float32], ...]:
    """Return smaller grids than ``edgeexit tune`` would use: 0, quantiles, and never."""
    shares = np.linspace(0, 1, size)[1:-1]
    return tuple(
        np.unique(np.concatenate([[0], np.quantile(values, shares), [2]]).astype(np.float32))
        for values in predictions.confidences[:-1]
    )


def timed(call: Callable[[], Front]) -> tuple[Front, float]:
    """Return the result and the seconds that it took."""
    start = time.perf_counter()
    front = call()
    return front, time.perf_counter() - start


def peak_memory_mib() -> float:
    """Return the peak memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


if __name__ == "__main__":
    main()
