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
    mixture_noise,
    plain_noise,
    resampled_ratios,
)
from edgeexit.bench.results.comparison import ComparedFigure
from edgeexit.bench.results.mixture import COMPARED, Mixture
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.scenarios import OfflineResult, Server, ServerResult, StreamResult
from edgeexit.statistics.percentiles import Percentile

SERVER_PERCENT = 99.0  # the metric by MLPerf's rules

Series = Mapping[str, NDArray[np.float64]]
"""Milliseconds by candidate, (rounds, calls); empty with too few images for the percentile."""


def compare_scenarios(first: BenchReport, second: BenchReport) -> Section:
    """Compare leading percentiles of queries, and throughput, if the images are the same."""
    one, other = first.scenarios, second.scenarios
    if one is None or other is None:
        lone = "Scenarios were measured in only one of the reports."
        return Section(left_out=() if one is other else (lone,))
    if (one.source, one.samples) != (other.source, other.samples):
        return Section(left_out=("The scenarios were run on different images.",))
    noise = plain_noise(first, second)
    sections: list[Section] = []
    if one.single_stream is not None and other.single_stream is not None:
        percent = one.single_stream.leading_percent
        series = (_single_stream(first.mixture, percent), _single_stream(second.mixture, percent))
        most = max(noise, *(mixture_noise(it, it.mixture) for it in (first, second) if it.mixture))
        sections.append(_percentiles("single stream", series, percent, most))
    if one.multi_stream is not None and other.multi_stream is not None:
        percent = one.multi_stream.leading_percent
        series = (
            _series(one.multi_stream.results, percent),
            _series(other.multi_stream.results, percent),
        )
        sections.append(_percentiles("multi stream", series, percent, noise))
    if one.server is not None and other.server is not None:
        sections.append(_compare_servers(one.server, other.server, noise))
    sections.append(Section(tuple(_rates(one.offline or (), other.offline or (), noise))))
    return Section(
        tuple(figure for section in sections for figure in section.figures),
        tuple(said for section in sections for said in section.left_out),
    )


def _compare_servers(one: Server, other: Server, noise: float) -> Section:
    if (one.qps, one.duration_s, one.queries) != (other.qps, other.duration_s, other.queries):
        said = "The server scenarios had different arrivals, on which latencies depend."
        return Section(left_out=(said,))
    grew = {it.name for server in (one, other) for it in server.results if not it.stable}
    ours, theirs = ([it for it in server.results if it.name not in grew] for server in (one, other))
    # if each query takes s, it waits load * s / (2 - 2 load): 1 % of s is this factor in that wait
    noise *= max(((2 - it.load) / (1 - it.load) for it in (*ours, *theirs)), default=1.0)
    series = _series(ours, SERVER_PERCENT), _series(theirs, SERVER_PERCENT)
    found = _percentiles("server", series, SERVER_PERCENT, noise)
    queue = (f"The queue grew in the server scenario of {'; '.join(sorted(grew))}.",)
    return Section(found.figures, (*(queue if grew else ()), *found.left_out))


def _single_stream(mixture: Mixture | None, percent: float) -> Series:
    """Return the times of images one by one, (images, passes), which a stream does not repeat."""
    runs = () if mixture is None else mixture.runs
    return {
        run.label: np.array(run.times_ms).T[: None if _is_known(run.percentiles, percent) else 0]
        for run in runs
        if run.role in COMPARED
    }


def _series(results: Sequence[StreamResult] | Sequence[ServerResult], percent: float) -> Series:
    return {
        it.name: by_rounds(it.times_ms if _is_known(it.percentiles, percent) else ())
        for it in results
    }


def _is_known(percentiles: Sequence[Percentile], percent: float) -> bool:
    """Whether there are enough different images for a percentile."""
    return any(it.percent == percent and it.value_ms is not None for it in percentiles)


def _percentiles(
    section: str, reports: tuple[Series, Series], percent: float, noise: float
) -> Section:
    """Compare one percentile of every candidate in both reports."""
    rng = np.random.default_rng(SEED)

    def leading(times: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = np.percentile(times, percent, axis=1)
        return values

    first, second = reports
    figures, few = [], []
    for name in (name for name in first if name in second):
        series = first[name], second[name]
        (ratios,) = resampled_ratios(series[:1], series[1:], leading, rng)
        if ratios is None:
            few.append(name)
            continue
        one, other = (float(np.percentile(times_ms, percent)) for times_ms in series)
        figures.append(figure(section, name, "ms", f"p{percent:g}", (one, other), ratios, noise))
    said = f"Too few different images for p{percent:g} of the {section} of {'; '.join(few)}."
    return Section(tuple(figures), (said,) if few else ())


def _rates(
    first: Sequence[OfflineResult], second: Sequence[OfflineResult], noise: float
) -> Iterator[ComparedFigure]:
    others = {result.name: result.best_samples_per_s for result in second}
    for ours in first:
        if ours.name in others:
            rates = ours.best_samples_per_s, others[ours.name]
            yield figure("offline", ours.name, "samples/s", "best batch", rates, None, noise)
