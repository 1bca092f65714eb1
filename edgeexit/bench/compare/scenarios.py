"""MLPerf's scenarios in two reports: the metric of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.bench.compare.figures import (
    SEED,
    Section,
    by_rounds,
    figure,
    plain_noise,
    resampled_ratios,
)
from edgeexit.bench.results.comparison import ComparedFigure
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.scenarios import OfflineResult, Server, ServerResult, StreamResult

SERVER_PERCENT = 99.0  # the metric by MLPerf's rules


def compare_scenarios(first: BenchReport, second: BenchReport) -> Section:
    """Compare leading percentiles of queries, and throughput, if the images are the same."""
    one, other = first.scenarios, second.scenarios
    if one is None or other is None:
        lone = "Scenarios were measured in only one of the reports."
        return Section(left_out=() if one is other else (lone,))
    if (one.source, one.samples) != (other.source, other.samples):
        return Section(left_out=("The scenarios were run on different images.",))
    noise = plain_noise(first, second)
    figures: list[ComparedFigure] = []
    for section, ours, theirs in (
        ("single stream", one.single_stream, other.single_stream),
        ("multi stream", one.multi_stream, other.multi_stream),
    ):
        if ours is not None and theirs is not None:
            percent = ours.leading_percent
            figures += _percentiles(section, ours.results, theirs.results, percent, noise)
    server = Section()
    if one.server is not None and other.server is not None:
        server = _compare_servers(one.server, other.server, noise)
    offline = _rates(one.offline or (), other.offline or (), noise)
    return Section((*figures, *server.figures, *offline), server.left_out)


def _compare_servers(one: Server, other: Server, noise: float) -> Section:
    if (one.qps, one.duration_s, one.queries) != (other.qps, other.duration_s, other.queries):
        said = "The server scenarios had different arrivals, on which latencies depend."
        return Section(left_out=(said,))
    grew = {it.name for server in (one, other) for it in server.results if not it.stable}
    ours, theirs = ([it for it in server.results if it.name not in grew] for server in (one, other))
    # if each query takes s, it waits load * s / (2 - 2 load): 1 % of s is this factor in that wait
    noise *= max(((2 - it.load) / (1 - it.load) for it in (*ours, *theirs)), default=1.0)
    return Section(
        tuple(_percentiles("server", ours, theirs, SERVER_PERCENT, noise)),
        (f"The queue grew in the server scenario of {'; '.join(sorted(grew))}.",) if grew else (),
    )


def _percentiles(
    section: str,
    first: Sequence[StreamResult] | Sequence[ServerResult],
    second: Sequence[StreamResult] | Sequence[ServerResult],
    percent: float,
    noise: float,
) -> Iterator[ComparedFigure]:
    """Yield one percentile of every candidate with times in both reports."""
    rng = np.random.default_rng(SEED)

    def leading(times: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = np.percentile(times, percent, axis=1)
        return values

    others: Mapping[str, Sequence[float]] = {it.name: it.times_ms for it in second}
    for ours in first:
        series = by_rounds(ours.times_ms), by_rounds(others.get(ours.name, ()))
        (ratios,) = resampled_ratios(series[:1], series[1:], leading, rng)
        if ratios is not None:
            one, other = (float(np.percentile(times_ms, percent)) for times_ms in series)
            yield figure(section, ours.name, "ms", f"p{percent:g}", (one, other), ratios, noise)


def _rates(
    first: Sequence[OfflineResult], second: Sequence[OfflineResult], noise: float
) -> Iterator[ComparedFigure]:
    others = {result.name: result.best_samples_per_s for result in second}
    for ours in first:
        if ours.name in others:
            rates = ours.best_samples_per_s, others[ours.name]
            yield figure("offline", ours.name, "samples/s", "best batch", rates, None, noise)
