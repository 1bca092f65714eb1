"""Offline scenario: all images are available at once; throughput by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import MS_PER_S, time_call
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import BatchRate, OfflineResult
from edgeexit.bench.timing.candidates import Candidate, baseline_of
from edgeexit.bench.timing.passes import each_pass

CHUNK = 64  # images per turn, rounded down to whole batches of the largest size, at least one


def batch_sizes(max_batch: int, images: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and ``max_batch``, without sizes larger than the number of images."""
    powers = [2**power for power in range(max_batch.bit_length())]
    return tuple(sorted({size for size in (*powers, max_batch) if size <= images}))


def measure_offline(
    candidates: Sequence[Candidate],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
) -> tuple[OfflineResult, ...]:
    """Time batches of every size, in complete passes over the images, each in a new order.

    All candidates and sizes are interleaved on the same chunks of images. Images that do not fill
    a batch of the largest size are omitted; they differ from pass to pass.

    Args:
        candidates: to compare, including the baseline.
    """
    count = len(images.images)
    turns = [
        (candidate, size)
        for candidate in candidates
        for size in batch_sizes(candidate.session.manifest.max_batch, count)
    ]
    times_ms = dict.fromkeys(((it.label, size) for it, size in turns), 0.0)
    samples = dict.fromkeys(times_ms, 0)
    largest = max(size for _, size in turns)
    chunk = largest * max(1, min(CHUNK, count) // largest)
    rng = np.random.default_rng(options.seed)
    for report in each_pass(options, progress, "offline"):
        order = rng.permutation(count)
        for first in range(0, count - largest + 1, chunk):
            chosen = images.images[order[first : first + chunk]]
            for index in rng.permutation(len(turns)):
                candidate, size = turns[index]
                done, milliseconds = _time_batches(candidate, size, chosen)
                times_ms[candidate.label, size] += milliseconds
                samples[candidate.label, size] += done
            report(min(first + chunk, count) / count)
    rates = {
        (name, size): BatchRate(size, samples[name, size], samples[name, size] * MS_PER_S / ms)
        for (name, size), ms in times_ms.items()
    }
    by_name = {it.label: [rates[key] for key in rates if key[0] == it.label] for it in candidates}
    baseline = _best(by_name[baseline_of(candidates).label])
    return tuple(_result(name, own, baseline) for name, own in by_name.items())


def _time_batches(
    candidate: Candidate, size: int, images: NDArray[np.float32]
) -> tuple[int, float]:
    """Run all full batches; return the number of images and the milliseconds."""
    session = candidate.session
    candidate.prepare()
    settle(partial(session.infer, images[:size]))
    batches = [images[first : first + size] for first in range(0, len(images) - size + 1, size)]

    def run() -> None:
        for batch in batches:
            session.infer(batch)

    milliseconds, _ = time_call(run, session.runner.synchronize)
    return size * len(batches), milliseconds


def _best(rates: Sequence[BatchRate]) -> BatchRate:
    return max(rates, key=lambda rate: rate.samples_per_s)


def _result(name: str, rates: Sequence[BatchRate], baseline: BatchRate) -> OfflineResult:
    best = _best(rates)
    return OfflineResult(
        name=name,
        rates=tuple(rates),
        best_batch_size=best.batch_size,
        best_samples_per_s=best.samples_per_s,
        ratio=best.samples_per_s / baseline.samples_per_s,
    )
