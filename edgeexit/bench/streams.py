"""Single stream and multi stream: the next query as soon as the one before is answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.bench.alternatives import CHAIN, PLAIN, Alternative
from edgeexit.bench.images import BenchImages
from edgeexit.bench.passes import take_passes
from edgeexit.bench.percentiles import percentiles
from edgeexit.bench.report import BenchOptions, Mixture
from edgeexit.bench.scenarios import Stream, StreamResult
from edgeexit.bench.turns import Progress

__all__ = ["SAMPLES_PER_QUERY", "measure_multi_stream", "single_stream"]

SAMPLES_PER_QUERY = 8
SINGLE_PERCENT, MULTI_PERCENT = 90.0, 99.0


def single_stream(mixture: Mixture, names: Sequence[str]) -> Stream:
    """Return the mixture as a single stream, which it is: one image a query, one after the other.

    Args:
        mixture: measured before; its raw times are not repeated.
        names: of the alternatives, besides the chain and the plain backbone, that are shown.
    """
    shown = {PLAIN: mixture.baseline_times_ms, CHAIN: mixture.times_ms}
    shown |= {it.name: it.times_ms for it in mixture.alternatives if it.name in names}
    times_ms = {name: np.array(passes).ravel() for name, passes in shown.items()}
    return _stream(1, SINGLE_PERCENT, times_ms, mixture.samples, keep_times=False)


def measure_multi_stream(
    alternatives: Sequence[Alternative],
    images: BenchImages,
    options: BenchOptions,
    progress: Progress,
) -> Stream:
    """Time queries of eight images.

    Args:
        alternatives: the plain backbone among them.
        images: eight real ones or more, drawn anew into queries in every pass.
        options: how to measure.
        progress: told how far it is.
    """
    count = len(images.images)
    passes = take_passes(
        alternatives, images.images, SAMPLES_PER_QUERY, options, progress, step="multi stream"
    )
    times_ms = {runs.alternative.name: runs.times_ms for runs in passes.runs}
    return _stream(SAMPLES_PER_QUERY, MULTI_PERCENT, times_ms, count, keep_times=True)


def _stream(
    samples_per_query: int,
    leading: float,
    times_ms: dict[str, NDArray[np.float64]],
    images: int,
    *,
    keep_times: bool,
) -> Stream:
    found = {name: percentiles(times, independent=images) for name, times in times_ms.items()}
    leads = {
        name: next(it.value_ms for it in of_one if it.percent == leading)
        for name, of_one in found.items()
    }
    plain = leads[PLAIN]
    results = []
    for name, times in times_ms.items():
        lead = leads[name]
        results.append(
            StreamResult(
                alternative=name,
                mean_ms=float(times.mean()),
                percentiles=found[name],
                ratio=None if lead is None or plain is None else lead / plain,
                times_ms=tuple(times.tolist()) if keep_times else (),
            )
        )
    return Stream(samples_per_query, leading, tuple(results))
