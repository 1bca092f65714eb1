"""The scenarios that were asked for: streams here, offline and server in files of their own.

In a stream the next query comes as soon as the one before is answered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from edgeexit_runtime.progress import Progress
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import COMPARED, Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import (
    MULTI_STREAM,
    OFFLINE,
    SINGLE_STREAM,
    Scenarios,
    Stream,
    StreamResult,
)
from edgeexit.bench.timing.candidates import Candidate, baseline_of
from edgeexit.bench.timing.offline import measure_offline
from edgeexit.bench.timing.passes import take_passes
from edgeexit.bench.timing.server import measure_server, poisson_arrivals
from edgeexit.errors import InputError
from edgeexit.statistics.percentiles import percentiles

SAMPLES_PER_QUERY = 8
SINGLE_PERCENT, MULTI_PERCENT = 90.0, 99.0


def check_scenarios(images: BenchImages | None, options: BenchOptions) -> None:
    """Raise before anything is measured where the scenarios cannot be.

    Raises:
        InputError: no images, too few of them, or no query arrives in the time given.
    """
    if images is None:
        if options.scenarios or options.qps is not None:
            raise InputError(
                "scenarios: expected real images, got none: how long one takes depends on where "
                "it leaves; give --dataset, --images or --npz"
            )
        return
    if MULTI_STREAM in options.scenarios and len(images.images) < SAMPLES_PER_QUERY:
        raise InputError(
            f"{MULTI_STREAM}: expected {SAMPLES_PER_QUERY} images or more, a query's, got "
            f"{len(images.images)}; give more of them"
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
    """Measure each scenario of ``options``; None where there is none.

    Args:
        candidates: those that are compared, the baseline among them.
        mixture: of these candidates and images, which is the single stream.
    """
    asked = options.scenarios
    if not asked and options.qps is None:
        return None
    common = (candidates, images, options, progress)
    return Scenarios(
        source=images.source,
        samples=len(images.images),
        single_stream=_single_stream(mixture) if SINGLE_STREAM in asked else None,
        multi_stream=measure_multi_stream(*common) if MULTI_STREAM in asked else None,
        offline=measure_offline(*common) if OFFLINE in asked else None,
        server=None if options.qps is None else measure_server(*common),
    )


def _single_stream(mixture: Mixture) -> Stream:
    """Return the mixture as a single stream, which it is: one image a query, one after the other.

    Its raw times, measured before, are not repeated.
    """
    runs = [run for run in mixture.runs if run.role in COMPARED]
    times_ms = {run.label: np.array(run.times_ms).ravel() for run in runs}
    baseline, images = mixture.baseline.label, mixture.samples
    return _stream(1, SINGLE_PERCENT, times_ms, baseline, images, keep_times=False)


def measure_multi_stream(
    candidates: Sequence[Candidate],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
) -> Stream:
    """Time queries of eight images.

    Args:
        candidates: the baseline among them.
        images: eight real ones or more, drawn anew into queries in every pass.
    """
    passes = take_passes(
        candidates, images.images, SAMPLES_PER_QUERY, options, progress, step="multi stream"
    )
    times_ms = {runs.candidate.label: runs.times_ms for runs in passes.runs}
    baseline, count = baseline_of(candidates).label, len(images.images)
    return _stream(SAMPLES_PER_QUERY, MULTI_PERCENT, times_ms, baseline, count, keep_times=True)


def _stream(
    samples_per_query: int,
    leading: float,
    times_ms: dict[str, NDArray[np.float64]],
    baseline: str,
    images: int,
    *,
    keep_times: bool,
) -> Stream:
    found = {name: percentiles(times, independent=images) for name, times in times_ms.items()}
    leads = {
        name: next(it.value_ms for it in of_one if it.percent == leading)
        for name, of_one in found.items()
    }
    results = []
    for name, times in times_ms.items():
        lead, over = leads[name], leads[baseline]
        results.append(
            StreamResult(
                name=name,
                mean_ms=float(times.mean()),
                percentiles=found[name],
                ratio=None if lead is None or over is None else lead / over,
                times_ms=tuple(times.tolist()) if keep_times else (),
            )
        )
    return Stream(samples_per_query, leading, tuple(results))
