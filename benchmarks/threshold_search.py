"""Time and peak memory of the exact threshold search on 50,000 samples and four exits.

    python benchmarks/threshold_search.py [--samples 50000] [--branches 3] [--grid-size 200]

The predictions are random, from a seed; the search does the same work for any others.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time

import numpy as np

from edgeexit.evaluation import (
    ExitPredictions,
    cheapest_within_drop,
    confidence_grids,
    pareto_front,
    search_thresholds,
)

PATH_MACS = (46_970_000, 85_990_000, 130_500_000, 160_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--branches", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--grid-size", type=int, help="most values per exit (default: tune's)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    predictions = random_predictions(options.samples, options.branches, options.seed)
    path_macs = dict(zip(predictions.exit_names, PATH_MACS, strict=False))
    before_mib = peak_memory_mib()
    start = time.perf_counter()
    grids = confidence_grids(predictions, options.grid_size)
    result = search_thresholds(predictions, path_macs, grids)
    searched = time.perf_counter()
    choice = cheapest_within_drop(result, 0.01)
    chosen = time.perf_counter()
    search_mib = peak_memory_mib()
    front = pareto_front(result)
    end = time.perf_counter()

    sizes = " x ".join(str(len(grid)) for grid in grids)
    print(f"{options.samples} samples x {len(predictions.exit_names)} exits, seed {options.seed}")
    print(f"{result.correct.size:,} settings ({sizes}), numpy {np.__version__}")
    print(f"grids and search {searched - start:.2f} s, choice {chosen - searched:.2f} s")
    print(f"peak memory {search_mib:.0f} MiB, of which {before_mib:.0f} MiB before the search")
    print(
        f"whole front ({len(front)} settings) {end - chosen:.2f} s more, "
        f"peak {peak_memory_mib():.0f} MiB"
    )
    print(f"chosen: {choice}")


def random_predictions(samples: int, branches: int, seed: int) -> ExitPredictions:
    """Return predictions of 100 classes by exits that grow surer and better, as trained ones do."""
    random = np.random.default_rng(seed)
    exits = branches + 1
    confidences = random.beta(np.linspace(2, 20, exits)[:, None], 1, (exits, samples))
    targets = random.integers(0, 100, samples)
    right = random.random((exits, samples)) < confidences
    labels = np.where(right, targets, random.integers(0, 100, (exits, samples)))
    names = (*(f"exit{number}" for number in range(1, exits)), "final")
    return ExitPredictions(names, confidences.astype(np.float32), labels, targets)


def peak_memory_mib() -> float:
    """Return the most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


if __name__ == "__main__":
    main()
