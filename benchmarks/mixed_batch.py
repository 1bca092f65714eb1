"""A batch of 32 that leaves gradually: the cost of routing in addition to the graphs.

    python benchmarks/mixed_batch.py [--duration 20] [--threads 1] [--bundles FOLDER]

Half of the batch leaves at the first exit, half of the rest at the next, and so on. The goal: at
least 90 % of the throughput that the graphs' own times allow, each over the images that reach it.
Both are timed as pairs in one run: ``session.infer``, and every graph by itself, whose times are
added; removing rows from the batch is not in that sum. The weights are random.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import numpy as np
from edgeexit_runtime import Session, load
from edgeexit_runtime.gate import compacted_rows
from edgeexit_runtime.timing.calls import time_call
from goals import Figure, finish, parser_of
from numpy.typing import NDArray
from pairs import estimate
from random_bundles import bundle_of, split_thresholds

from edgeexit.models import make_spec
from edgeexit.planning.candidates import noise

BATCH = 32
MIN_SHARE = 0.9
MIN_ROUNDS = 10
NETWORKS = (("resnet18", "4+3+2", 1000, 224), ("resnet20", "3+1", 10, 32))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--duration", type=float, default=20, help="seconds per network")
    parser.add_argument("--threads", type=int, default=1, help="threads per graph (default 1)")
    options = parser.parse_args()
    figures = [measure(*network, options) for network in NETWORKS]
    finish(f"batch of {BATCH}, threads per graph: {options.threads}", figures, options.json)


def measure(
    backbone: str, branches: str, num_classes: int, pixels: int, options: argparse.Namespace
) -> Figure:
    """Return the session's throughput as a share of the possible one."""
    size = (3, pixels, pixels)
    spec = make_spec(backbone, branches, num_classes, size)
    with (
        bundle_of(backbone, spec, options.bundles) as folder,
        load(folder, threads=options.threads) as session,
    ):
        images = noise(BATCH, size, options.seed)
        leaving = halves(BATCH, spec.exit_names[:-1])
        confidences = session.infer_all_exits(images).confidences
        session.thresholds = split_thresholds(confidences, leaving)
        exits = session.infer(images).exits
        counts = np.bincount(exits, minlength=len(spec.exit_names))
        expected = [*leaving.values(), BATCH - sum(leaving.values())]
        if counts.tolist() != expected:
            raise SystemExit(f"expected {expected} images to leave, got {counts.tolist()}")
        session_ms, graphs_ms = time_rounds(session, images, exits, options)
    share = estimate(graphs_ms / session_ms)
    left = "/".join(map(str, expected))
    note = f"{share.low:.3f} to {share.high:.3f}; {len(session_ms)} rounds; leaving {left}"
    note += f"; {BATCH / np.median(session_ms) * 1e3:.1f} images/s"
    name = f"{backbone} {branches} @{pixels}"
    return Figure(name, share.median, "of the possible", MIN_SHARE, at_least=True, note=note)


def halves(count: int, exits: tuple[str, ...]) -> dict[str, int]:
    """Return how many images leave at each branch exit: half of those that reach it."""
    leaving = {}
    for name in exits:
        leaving[name] = count // 2
        count -= leaving[name]
    return leaving


def time_rounds(
    session: Session,
    images: NDArray[np.float32],
    exits: NDArray[np.int64],
    options: argparse.Namespace,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the milliseconds of the session and of the graphs' sum, (rounds,) each."""
    rng = np.random.default_rng(options.seed)
    rounds: list[list[float]] = []
    start = time.perf_counter()
    for _ in range(2):
        session.infer(images), graph_times(session, images, exits)
    while len(rounds) < MIN_ROUNDS or time.perf_counter() - start < options.duration:
        pair = [0.0, 0.0]
        for which in rng.permutation(2):
            if which == 0:
                wait = session.runner.synchronize
                pair[0], _ = time_call(lambda: session.infer(images), wait)
            else:
                pair[1] = graph_times(session, images, exits)
        rounds.append(pair)
    session_ms, graphs_ms = np.array(rounds).T
    return session_ms, graphs_ms


def graph_times(session: Session, images: NDArray[np.float32], exits: NDArray[np.int64]) -> float:
    """Run every graph over the images that reach it; return the sum of milliseconds."""
    runner = session.runner
    waiting = exits
    total_ms = 0.0
    runner.set_images(images)
    for index, exit_ in enumerate(session.manifest.exits):
        for name, run in ((exit_.stage, runner.run_stage), (exit_.name, runner.run_exit)):
            if name is not None:
                took_ms, _ = time_call(partial(run, name), runner.synchronize)
                total_ms += took_ms
        rows = compacted_rows(waiting <= index)
        if len(rows) == 0:
            break
        if len(rows) < len(waiting):
            runner.keep(exit_.name, rows)
        waiting = waiting[rows]
    return total_ms


if __name__ == "__main__":
    main()
