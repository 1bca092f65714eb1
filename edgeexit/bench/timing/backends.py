"""The bundle on other backends: their turns in the rounds of paths, their times, the fastest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.bundle.manifest import ExitEntry
from edgeexit_runtime.timing.paths import forcing, inference_turn
from edgeexit_runtime.timing.turns import CALLS_PER_TURN, Turn
from numpy.typing import NDArray

from edgeexit.bench.results.backends import BackendPaths, Backends, Fastest
from edgeexit.bench.results.mixture import BACKEND, EARLY_EXIT, Mixture
from edgeexit.bench.results.timings import PathTiming
from edgeexit.bench.timing.backend_plan import BackendPlan
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.paths import PathTimes, path_timing
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import ratios_of_means, resampled_medians


@dataclass(frozen=True, slots=True)
class OtherBackend:
    """Another backend with the bundle and its plain backbone loaded."""

    name: str
    session: Session
    baseline: Session

    @property
    def candidate(self) -> Candidate:
        """Early exit at the bundle's own thresholds."""
        return Candidate(BACKEND, self.name, self.session, self.session.manifest.thresholds)

    def turns(self, image: NDArray[np.float32]) -> Iterator[Turn]:
        """Yield the turns of the plain backbone and of all exit paths."""
        names = self.session.manifest.exit_names
        yield inference_turn(self.baseline, self.baseline_turn, {}, image)
        for name in names:
            yield inference_turn(self.session, self.path_turn(name), forcing(names, name), image)

    @property
    def baseline_turn(self) -> str:
        """The name of the plain backbone's turn."""
        return f"{self.name}: plain backbone"

    def path_turn(self, exit_name: str) -> str:
        """Return the name of an exit path's turn."""
        return f"{self.name}: path {exit_name}"

    def paths(self, times: PathTimes) -> BackendPaths:
        """Return its times and their ratios to the measured backend's."""
        (plain,) = self.baseline.manifest.exits

        def timing(turn: str, entry: ExitEntry) -> PathTiming:
            times_ms = [ms for (ms,) in times.more[turn]]
            return path_timing(entry, times_ms, plain, times.baseline.times_ms)

        baseline = timing(self.baseline_turn, plain)
        exits = self.session.manifest.exits
        paths = tuple(timing(self.path_turn(exit_.name), exit_) for exit_ in exits)
        pairs = zip((baseline, *paths), (times.baseline, *times.paths), strict=True)
        return BackendPaths(
            self.name,
            self.session.device,
            self.session.runner.computed_in(),
            baseline,
            paths,
            tuple(_ratio_of_medians(ours, over) for ours, over in pairs),
        )


def judge_backends(
    plan: BackendPlan, others: Sequence[OtherBackend], times: PathTimes, mixture: Mixture | None
) -> Backends | None:
    """Return the times of the backends and the fastest; None if no others were requested."""
    if plan.auto is None:
        return None
    measured = plan.measured.name
    paths = tuple(other.paths(times) for other in others)
    fastest: list[Fastest] = []
    if others and mixture is not None:
        fastest = [_fastest_mixture(measured, mixture)]
    elif others:
        fastest = [_fastest_path(measured, times, paths, at) for at in range(len(times.paths))]
    return Backends(measured, plan.auto, paths, plan.left_out, tuple(fastest))


def _fastest_mixture(measured: str, mixture: Mixture) -> Fastest:
    """Return the two fastest backends on the images, by mean."""
    runs = {run.name: run for run in mixture.runs if run.role == BACKEND}
    runs[measured] = mixture.early_exit
    first, second, *_ = sorted(runs, key=lambda name: runs[name].latency.mean_ms)
    ours, theirs = runs[first], runs[second]
    (ratio,) = ratios_of_means([np.array(ours.times_ms)], np.array(theirs.times_ms))
    return Fastest(EARLY_EXIT, first, second, ours.latency.mean_ms, theirs.latency.mean_ms, ratio)


def _fastest_path(
    measured: str, times: PathTimes, others: Sequence[BackendPaths], at: int
) -> Fastest:
    """Return the two fastest backends on one exit path, by median."""
    timings = {measured: times.paths[at], **{other.name: other.paths[at] for other in others}}
    first, second, *_ = sorted(timings, key=lambda name: timings[name].latency.p50_ms)
    ours, theirs = timings[first], timings[second]
    medians_ms = ours.latency.p50_ms, theirs.latency.p50_ms
    return Fastest(ours.name, first, second, *medians_ms, _ratio_of_medians(ours, theirs))


def _ratio_of_medians(path: PathTiming, over: PathTiming) -> Interval:
    """Return the ratio of medians; each resample draws the same rounds from both."""
    drawn, drawn_over = resampled_medians([path.times_ms, over.times_ms], CALLS_PER_TURN)
    ratio = float(np.median(path.times_ms) / np.median(over.times_ms))
    return Interval.of(ratio, drawn / drawn_over)
