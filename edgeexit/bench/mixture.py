"""Real images one by one: the chain at the bundle's thresholds beside the plain backbone."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from edgeexit_runtime import Manifest, Session
from edgeexit_runtime.timing import summarize, time_call
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.report import BenchOptions, Mixture, MixtureExit
from edgeexit.bench.turns import Progress, settle

__all__ = ["measure_mixture"]

# Images that one alternative takes before the other takes them: so many that it runs as it would
# alone, and so few that both see the device in the same state.
BLOCK = 16


class _Runs:
    """One alternative's runs over N images."""

    def __init__(self, session: Session, images: NDArray[np.float32]) -> None:
        self.session = session
        self.images = images
        self.left_at = np.empty(len(images), np.int64)
        self.labels = np.empty(len(images), np.int64)
        self.passes_ms: list[NDArray[np.float64]] = []

    @property
    def times_ms(self) -> NDArray[np.float64]:
        """(passes, N)."""
        return np.stack(self.passes_ms)

    def begin_pass(self) -> None:
        self.passes_ms.append(np.empty(len(self.images)))

    def run(self, block: range) -> None:
        """Run a block of images one by one; write down times, labels and exits."""
        infer, wait = self.session.infer, self.session.runner.synchronize
        settle(partial(infer, self.images[block.start : block.start + 1]))
        for index in block:
            image = self.images[index : index + 1]
            self.passes_ms[-1][index], answer = time_call(partial(infer, image), wait)
            self.left_at[index], self.labels[index] = answer.exits[0], answer.labels[0]


def measure_mixture(
    chain: Session,
    plain: Session,
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
) -> Mixture:
    """Return the timings of both on the same images, whole passes over all of them."""
    manifest = chain.manifest
    chain.thresholds = manifest.thresholds
    ours, theirs = _Runs(chain, images.images), _Runs(plain, images.images)
    _take_passes((ours, theirs), len(images.images), options, progress)
    (baseline,) = plain.manifest.exits
    exits = _mixture_exits(manifest, ours, images.labels)
    # Eq. 5; cost.average_macs, which does the same, would import torch
    paid_macs = manifest.paid_macs
    average_macs = sum(exit_.share * paid_macs[exit_.name] for exit_ in exits)
    ours_ms, theirs_ms = ours.times_ms, theirs.times_ms
    return Mixture(
        source=images.source,
        samples=len(images.images),
        exits=exits,
        ratio=float(ours_ms.mean() / theirs_ms.mean()),
        macs_ratio=average_macs / baseline.path_macs,
        latency=summarize(ours_ms),
        baseline_latency=summarize(theirs_ms),
        accuracy=_accuracy(ours.labels, images.labels),
        baseline_accuracy=_accuracy(theirs.labels, images.labels),
        left_at=tuple(ours.left_at.tolist()),
        times_ms=tuple(map(tuple, ours_ms.tolist())),
        baseline_times_ms=tuple(map(tuple, theirs_ms.tolist())),
    )


def _take_passes(
    alternatives: tuple[_Runs, _Runs], count: int, options: BenchOptions, progress: Progress
) -> None:
    """Let both run over all images until there are enough passes or the time is over.

    A pass is always a whole one, so that every image counts as often as any other.
    """
    rng = np.random.default_rng(options.seed)
    start = time.perf_counter()
    for number in range(options.rounds):
        if number > 0 and time.perf_counter() - start >= options.duration_s:
            break
        for runs in alternatives:
            runs.begin_pass()
        for first in range(0, count, BLOCK):
            block = range(first, min(first + BLOCK, count))
            for index in rng.permutation(2):
                alternatives[index].run(block)
            by_time = (time.perf_counter() - start) / options.duration_s
            done = max(by_time, (number + block.stop / count) / options.rounds)
            progress("mixture", min(done, block.stop / count if number == 0 else 1))
    progress("mixture", 1)


def _mixture_exits(
    manifest: Manifest, runs: _Runs, labels: NDArray[np.int64] | None
) -> tuple[MixtureExit, ...]:
    exits = []
    for index, name in enumerate(manifest.exit_names):
        here = runs.left_at == index
        some = bool(here.any())
        known = None if labels is None or not some else labels[here]
        exits.append(
            MixtureExit(
                name=name,
                threshold=manifest.thresholds.get(name),
                share=float(here.mean()),
                latency=summarize(runs.times_ms[:, here]) if some else None,
                accuracy=_accuracy(runs.labels[here], known),
            )
        )
    return tuple(exits)


def _accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64] | None) -> float | None:
    return None if labels is None else float((predicted == labels).mean())
