"""Figures that two benchmarks have in common, and whether they differ by more than the noise.

A figure differs where the whole interval of its ratio lies beyond the noise. The interval says how
far each run's own times scatter (:mod:`edgeexit.statistics.bootstrap`); of paths and streams
stretches of rounds are drawn, of a mixture images, the same for both reports where they ran the
same ones, and passes over them. The noise is what the plain backbone and the path, which always do
the same, drifted by within either run, of means also what hold-ups added to them, and
:data:`BREAK_EVEN` at least: a run does not show what the next one may differ by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from edgeexit_runtime.timing.turns import CALLS_PER_TURN
from numpy.typing import NDArray

from edgeexit.bench.results.comparison import MIXTURE, PATHS, TO_BASELINE, ComparedFigure
from edgeexit.bench.results.energy import Energy
from edgeexit.bench.results.mixture import BASELINE, BASELINE_NAME, Mixture
from edgeexit.bench.results.report import BenchReport
from edgeexit.bench.results.scenarios import Server
from edgeexit.bench.results.timings import PathTiming
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import (
    BREAK_EVEN,
    medians,
    resample_images,
    resample_rounds,
)
from edgeexit.statistics.drift import drift_between_fifths

SEED = 0
MIN_ROUNDS = 3  # of fewer no interval is made
SERVER_PERCENT = 99.0  # that counts by MLPerf's rules


# exit paths


def path_figures(
    first: BenchReport, second: BenchReport, left_out: list[str]
) -> Iterator[ComparedFigure]:
    section, rng = PATHS, np.random.default_rng(SEED)
    plain_noise = max(_path_noise(first.baseline), _path_noise(second.baseline))
    paths = [_paths(report) for report in (first, second)]
    names = _shared_paths(paths[0], paths[1], left_out)
    timings = [[of_one[name] for name in names] for of_one in paths]
    series = [tuple(_rounds(timing) for timing in report) for report in timings]
    drawn = None
    if min(len(report[0]) for report in series) >= MIN_ROUNDS:
        one, other = (resample_rounds(report, medians, rng) for report in series)
        drawn = [theirs / ours for ours, theirs in zip(one, other, strict=True)]
    for index, (name, ours, theirs) in enumerate(zip(names, *timings, strict=True)):
        noise = max(plain_noise, _path_noise(ours), _path_noise(theirs))
        values = ours.latency.p50_ms, theirs.latency.p50_ms
        ratios = None if drawn is None else drawn[index]
        yield _figure(section, name, "ms", "median", values, ratios, noise)
        if index > 0:
            relative = ours.ratio, theirs.ratio
            ratios = None if drawn is None else drawn[index] / drawn[0]
            yield _figure(section, name, TO_BASELINE, "median", relative, ratios, noise)


def _paths(report: BenchReport) -> dict[str, PathTiming]:
    """Return the plain backbone and the paths by name, then those of other backends."""
    found = {BASELINE_NAME: report.baseline, **{path.name: path for path in report.paths}}
    for other in () if report.backends is None else report.backends.others:
        found[f"{BASELINE_NAME}, {other.name}"] = other.baseline
        found |= {f"{path.name}, {other.name}": path for path in other.paths}
    return found


def _shared_paths(
    first: Mapping[str, PathTiming], second: Mapping[str, PathTiming], left_out: list[str]
) -> list[str]:
    lone = sorted(set(first) ^ set(second))
    if lone:
        left_out.append(f"Paths of one report alone: {', '.join(lone)}.")
    return [name for name in first if name in second]


def _rounds(path: PathTiming) -> NDArray[np.float64]:
    """Return its times by rounds, (rounds, calls)."""
    times = np.array(path.times_ms)
    calls = CALLS_PER_TURN if len(times) % CALLS_PER_TURN == 0 else 1
    return times.reshape(-1, calls)


def _path_noise(path: PathTiming) -> float:
    return max(BREAK_EVEN, drift_between_fifths(np.array(path.times_ms), medians))


# mixture


def mixture_figures(
    first: BenchReport, second: BenchReport, left_out: list[str]
) -> Iterator[ComparedFigure]:
    one, other = first.mixture, second.mixture
    if one is None or other is None:
        if one is not other:
            left_out.append("Real images were run one by one in one of the reports alone.")
        return
    if one.source != other.source or one.samples != other.samples:
        left_out.append(
            f"The images run one by one are different ones ({one.samples} of {one.source}, "
            f"{other.samples} of {other.source}): how many leave where is not comparable."
        )
        return
    section, noise = MIXTURE, max(_mixture_noise(first, one), _mixture_noise(second, other))
    runs = [{run.label: run for run in mixture.runs} for mixture in (one, other)]
    lone = sorted(set(runs[0]) ^ set(runs[1]))
    if lone:
        left_out.append(f"Candidates of one report alone: {', '.join(lone)}.")
    names = [name for name in runs[0] if name in runs[1]]  # the baseline first
    ours, theirs = ([of_one[name] for name in names] for of_one in runs)
    drawn = resample_images(
        [[np.array(run.times_ms) for run in report] for report in (ours, theirs)],
        together=first.options.seed == second.options.seed,
    )
    ratios = [of_theirs / of_ours for of_ours, of_theirs in zip(*drawn, strict=True)]
    for name, run, against, ratio in zip(names, ours, theirs, ratios, strict=True):
        means = run.latency.mean_ms, against.latency.mean_ms
        yield _figure(section, name, "ms", "mean", means, ratio, noise)
        if run.role != BASELINE:
            relative = run.ratio.value, against.ratio.value
            yield _figure(section, name, TO_BASELINE, "mean", relative, ratio / ratios[0], noise)


def _mixture_noise(report: BenchReport, mixture: Mixture) -> float:
    """Return what the baseline drifted by between thirds and passes, and was held up by.

    It always does the same: what its mean is above its median by is of whatever else ran.
    """
    thirds = [drift.ratio - 1 for drift in report.drifts if drift.measurement == "mixture"]
    times_ms = np.array(mixture.baseline.times_ms)
    passes = times_ms.mean(axis=1)
    held_up = float(times_ms.mean() / np.median(times_ms)) - 1
    return max(BREAK_EVEN, *thirds, float(passes.max() / passes.min()) - 1, held_up)


# scenarios


def scenario_figures(
    first: BenchReport, second: BenchReport, left_out: list[str]
) -> Iterator[ComparedFigure]:
    one, other = first.scenarios, second.scenarios
    if one is None or other is None:
        if one is not other:
            left_out.append("Scenarios were measured in one of the reports alone.")
        return
    if (one.source, one.samples) != (other.source, other.samples):
        left_out.append("The scenarios were run on different images.")
        return
    noise = max(_path_noise(first.baseline), _path_noise(second.baseline))
    for section, ours, theirs in (
        ("single stream", one.single_stream, other.single_stream),
        ("multi stream", one.multi_stream, other.multi_stream),
    ):
        if ours is not None and theirs is not None:
            times = [{it.name: it.times_ms for it in stream.results} for stream in (ours, theirs)]
            yield from _percentile_figures(section, times, ours.leading_percent, noise)
    yield from _server_figures(one.server, other.server, noise, left_out)
    rates = [
        {result.name: result.best_samples_per_s for result in results or ()}
        for results in (one.offline, other.offline)
    ]
    for name in (name for name in rates[0] if name in rates[1]):
        values = rates[0][name], rates[1][name]
        yield _figure("offline", name, "samples/s", "best batch", values, None, noise)


def _server_figures(
    one: Server | None, other: Server | None, noise: float, left_out: list[str]
) -> Iterator[ComparedFigure]:
    if one is None or other is None:
        return
    if (one.qps, one.duration_s, one.queries) != (other.qps, other.duration_s, other.queries):
        left_out.append("The server scenarios had other arrivals: latencies follow from these.")
        return
    grew = {it.name for server in (one, other) for it in server.results if not it.stable}
    if grew:
        left_out.append(f"The queue grew in the server scenario of {', '.join(sorted(grew))}.")
    stable = [[it for it in server.results if it.name not in grew] for server in (one, other)]
    loads = [it.load for results in stable for it in results]
    # a wait is load * s / (2 - 2 load) where each takes s: 1 % in s is so many times 1 % in it
    noise *= max(((2 - load) / (1 - load) for load in loads), default=1.0)
    times = [{it.name: it.times_ms for it in results} for results in stable]
    yield from _percentile_figures("server", times, SERVER_PERCENT, noise)


def _percentile_figures(
    section: str, times_ms: Sequence[Mapping[str, Sequence[float]]], percent: float, noise: float
) -> Iterator[ComparedFigure]:
    """Yield one percentile of every candidate that both reports have times of."""
    rng = np.random.default_rng(SEED)

    def leading(times: NDArray[np.float64]) -> NDArray[np.float64]:
        values: NDArray[np.float64] = np.percentile(times, percent, axis=1)
        return values

    one, other = times_ms
    for name in (name for name in one if name in other):
        pair = [np.array(times[name]) for times in times_ms]
        ratios = _ratios(pair, leading, rng)
        if ratios is not None:
            first, second = (float(leading(times[None])[0]) for times in pair)
            yield _figure(section, name, "ms", f"p{percent:g}", (first, second), ratios, noise)


# energy


def energy_figures(
    first: Energy | None, second: Energy | None, left_out: list[str]
) -> Iterator[ComparedFigure]:
    have = [bool(energy and energy.runs) for energy in (first, second)]
    if first is None or second is None or not all(have):
        if any(have):
            left_out.append("Energy was measured in one of the reports alone.")
        return
    if first.source != second.source:
        left_out.append("Energy was measured on different images.")
        return
    kinds = [tuple(sensor.kind for sensor in energy.sensors) for energy in (first, second)]
    if kinds[0] != kinds[1]:
        left_out.append(
            "Energy was read by different sensors, which see different parts of a device: "
            f"{', '.join(kinds[0])} and {', '.join(kinds[1])}."
        )
        return
    rng = np.random.default_rng(SEED)
    noise = max(map(_energy_noise, (first, second)))
    others = {item.name: item for item in second.runs}
    for one in first.runs:
        other = others.get(one.name)
        if other is None:
            continue
        turns = [
            np.array([1e3 * turn.joules / turn.samples for turn in item.turns])
            for item in (one, other)
        ]
        values = 1e3 * one.sample_j, 1e3 * other.sample_j
        ratios = _ratios(turns, medians, rng)
        yield _figure("energy", one.name, "mJ", "median", values, ratios, noise)


def _energy_noise(energy: Energy) -> float:
    idle = np.array([turn.joules / turn.seconds for turn in energy.idle_turns])
    return max(BREAK_EVEN, drift_between_fifths(idle, medians) if idle.min() > 0 else 0.0)


def _ratios(
    pair: Sequence[NDArray[np.float64]],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    """Return the second over the first of two series, drawn anew; None where they are too short."""
    if min(map(len, pair)) < MIN_ROUNDS:
        return None
    first, second = (resample_rounds((series[:, None],), statistic, rng)[0] for series in pair)
    ratios: NDArray[np.float64] = second / first
    return ratios


def _figure(
    section: str,
    name: str,
    unit: str,
    statistic: str,
    values: tuple[float, float],
    ratios: NDArray[np.float64] | None,
    noise: float,
) -> ComparedFigure:
    first, second = values
    ratio = second / first
    interval = None if ratios is None else Interval.of(ratio, ratios)
    return ComparedFigure(section, name, unit, statistic, first, second, ratio, interval, noise)
