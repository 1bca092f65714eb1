"""Stream scenarios: each query is sent as soon as the previous one is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from edgeexit_runtime.progress import Progress
from numpy.typing import NDArray

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import COMPARED, Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import Stream, StreamResult
from edgeexit.bench.timing.candidates import Candidate, baseline_of
from edgeexit.bench.timing.passes import take_passes
from edgeexit.statistics.percentiles import percentiles

SAMPLES_PER_QUERY = 8
SINGLE_PERCENT, MULTI_PERCENT = 90.0, 99.0


def single_stream(mixture: Mixture) -> Stream:
    """Return the mixture as a single stream: queries of one image, one after another.

    The raw times are not stored again.
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
        candidates: to compare, including the baseline.
        images: at least eight real images, grouped into new queries in every pass.
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
    times_ms: Mapping[str, NDArray[np.float64]],
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

    def ratio(name: str) -> float | None:
        lead, over = leads[name], leads[baseline]
        return None if lead is None or over is None else lead / over

    return Stream(
        samples_per_query,
        leading,
        tuple(
            StreamResult(
                name=name,
                mean_ms=float(times.mean()),
                percentiles=found[name],
                ratio=ratio(name),
                times_ms=tuple(times.tolist()) if keep_times else (),
            )
            for name, times in times_ms.items()
        ),
    )
