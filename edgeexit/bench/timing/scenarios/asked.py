"""Checking and measuring the requested scenarios."""

from __future__ import annotations

from collections.abc import Sequence

from edgeexit_runtime.progress import Progress

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import MULTI_STREAM, OFFLINE, SINGLE_STREAM, Scenarios
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.scenarios.arrivals import poisson_arrivals
from edgeexit.bench.timing.scenarios.offline import measure_offline
from edgeexit.bench.timing.scenarios.server import measure_server
from edgeexit.bench.timing.scenarios.streams import (
    SAMPLES_PER_QUERY,
    measure_multi_stream,
    single_stream,
)
from edgeexit.errors import InputError


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
        candidates: to compare, including the baseline.
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
