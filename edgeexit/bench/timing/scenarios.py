"""MLPerf's scenarios for the edge: single stream, multi stream, offline and server.

Streams send a query as soon as the previous one is answered. Offline, all images are available at
once: throughput by batch size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import MS_PER_S, time_call
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import COMPARED, Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import (
    MULTI_STREAM,
    OFFLINE,
    SINGLE_STREAM,
    BatchRate,
    OfflineResult,
    Scenarios,
    Stream,
    StreamResult,
)
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.passes import each_pass, take_passes
from edgeexit.bench.timing.server import measure_server, poisson_arrivals
from edgeexit.errors import InputError
from edgeexit.statistics.percentiles import percentiles

SAMPLES_PER_QUERY = 8
SINGLE_PERCENT, MULTI_PERCENT = 90.0, 99.0
CHUNK = 64  # images per turn, rounded down to whole batches of the largest size, at least one


def check_scenarios(images: BenchImages | None, options: BenchOptions) -> None:
    """Check, before anything is measured, that the scenarios can be.

    Raises:
        InputError: no images, too few of them, or no query arrives in the given time.
    """
    if images is None:
        if options.scenarios or options.qps is not None:
            raise InputError(
                "scenarios: expected real images, got none: latency depends on the exit where an "
                "image leaves; give --dataset, --images or --npz"
            )
        return
    if MULTI_STREAM in options.scenarios and len(images.images) < SAMPLES_PER_QUERY:
        raise InputError(
            f"{MULTI_STREAM}: expected at least {SAMPLES_PER_QUERY} images, for one query, got "
            f"{len(images.images)}; give more"
        )
    if options.qps is not None:
        arrivals = poisson_arrivals(options.qps, options.duration_s, options.seed)
        if len(arrivals) == 0:
            raise InputError(
                f"qps: expected queries to arrive, got none in {options.duration_s:g} s at "
                f"{options.qps:g} per second; give a longer --duration"
            )


def measure_scenarios(
    candidates: Sequence[Candidate],
    mixture: Mixture,
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
) -> Scenarios | None:
    """Measure each scenario of ``options``; return None if there is none.

    Args:
        candidates: to compare, the baseline first.
        mixture: of these candidates and images; the single stream is taken from it.
    """
    asked = options.scenarios
    if not asked and options.qps is None:
        return None
    common = (candidates, images, options, progress)
    return Scenarios(
        source=images.source,
        samples=len(images.images),
        single_stream=single_stream(mixture) if SINGLE_STREAM in asked else None,
        multi_stream=measure_multi_stream(*common) if MULTI_STREAM in asked else None,
        offline=measure_offline(*common) if OFFLINE in asked else None,
        server=None if options.qps is None else measure_server(*common),
    )


def single_stream(mixture: Mixture) -> Stream:
    """Return the mixture as a single stream: queries of one image, one after another.

    The raw times are not stored again.
    """
    return _stream(
        1,
        SINGLE_PERCENT,
        [
            StreamResult(run.label, run.latency.mean_ms, run.percentiles, None, ())
            for run in mixture.runs
            if run.role in COMPARED
        ],
    )


def measure_multi_stream(
    candidates: Sequence[Candidate],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
) -> Stream:
    """Time queries of eight images.

    Args:
        candidates: to compare, the baseline first.
        images: at least eight real images, grouped into new queries in every pass.
    """
    results = []
    for runs in take_passes(
        candidates, images.images, SAMPLES_PER_QUERY, options, progress, "multi stream"
    ):
        times_ms = runs.times_ms
        found = percentiles(times_ms, independent=len(images.images))
        mean_ms, name = float(times_ms.mean()), runs.candidate.label
        results.append(StreamResult(name, mean_ms, found, None, tuple(times_ms.tolist())))
    return _stream(SAMPLES_PER_QUERY, MULTI_PERCENT, results)


def _stream(samples_per_query: int, leading: float, results: Sequence[StreamResult]) -> Stream:
    """Return a stream with the ratios of the results to the first."""
    leads = [
        next(it.value_ms for it in result.percentiles if it.percent == leading)
        for result in results
    ]
    ratios = [None if lead is None or leads[0] is None else lead / leads[0] for lead in leads]
    return Stream(
        samples_per_query,
        leading,
        tuple(
            dataclasses.replace(result, ratio=ratio)
            for result, ratio in zip(results, ratios, strict=True)
        ),
    )


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
        candidates: to compare, the baseline first.
    """
    count = len(images.images)
    turns = [
        (candidate, size)
        for candidate in candidates
        for size in batch_sizes(candidate.session.manifest.max_batch, count)
    ]
    milliseconds, samples = [0.0] * len(turns), [0] * len(turns)
    largest = max(size for _, size in turns)
    chunk = largest * max(1, min(CHUNK, count) // largest)
    rng = np.random.default_rng(options.seed)
    for report in each_pass(options, progress, "offline"):
        order = rng.permutation(count)
        for first in range(0, count - largest + 1, chunk):
            chosen = images.images[order[first : first + chunk]]
            for index in rng.permutation(len(turns)):
                candidate, size = turns[index]
                done, took_ms = _time_batches(candidate, size, chosen)
                milliseconds[index] += took_ms
                samples[index] += done
            report(min(first + chunk, count) / count)
    rates: dict[str, list[BatchRate]] = {}
    for (candidate, size), done, took_ms in zip(turns, samples, milliseconds, strict=True):
        rate = BatchRate(size, done, done * MS_PER_S / took_ms)
        rates.setdefault(candidate.label, []).append(rate)
    return _offline_results(rates)


def _offline_results(rates: Mapping[str, Sequence[BatchRate]]) -> tuple[OfflineResult, ...]:
    """Return the results of the candidates; ratios are to the first."""
    best = {name: max(own, key=lambda rate: rate.samples_per_s) for name, own in rates.items()}
    over, *_ = best.values()
    return tuple(
        OfflineResult(
            name=name,
            rates=tuple(rates[name]),
            best_batch_size=rate.batch_size,
            best_samples_per_s=rate.samples_per_s,
            ratio=rate.samples_per_s / over.samples_per_s,
        )
        for name, rate in best.items()
    )


def batch_sizes(max_batch: int, images: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and ``max_batch``, without sizes larger than the number of images."""
    powers = [2**power for power in range(max_batch.bit_length())]
    return tuple(sorted({size for size in (*powers, max_batch) if size <= images}))


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
