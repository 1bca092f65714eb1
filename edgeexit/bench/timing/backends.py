"""One bundle on several backends in the same run: which ones, their times, and the fastest.

The same backend with another number of threads counts as another backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime import EdgeExitError, Session
from edgeexit_runtime.backends import AUTO, BACKENDS, choose_backend
from edgeexit_runtime.backends.base import LoadOptions
from edgeexit_runtime.bundle.folder import Bundle, open_bundle
from edgeexit_runtime.system.machine import cores_available
from edgeexit_runtime.timing.turns import CALLS_PER_TURN, Turn
from numpy.typing import NDArray

from edgeexit.bench.results.backends import (
    BackendChoice,
    BackendPaths,
    Backends,
    Fastest,
    LeftOut,
)
from edgeexit.bench.results.mixture import BACKEND, EARLY_EXIT, Mixture
from edgeexit.bench.results.options import ALL, BenchOptions
from edgeexit.bench.results.timings import PathTiming
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.paths import PathTimes, path_turns, time_paths
from edgeexit.errors import InputError
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import ratios_of_means, resampled_medians


@dataclass(frozen=True, slots=True)
class BackendPlan:
    """Which backends run.

    Attributes:
        measured: the one that everything is measured on.
        auto: the one that loading with ``auto`` selects; None if no backends are compared.
        others: backends to compare with it.
        left_out: backends that cannot run this bundle here.
    """

    measured: BackendChoice
    auto: str | None = None
    others: tuple[BackendChoice, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def plan_backends(engine_dir: str | Path, options: BenchOptions) -> BackendPlan:
    """Return the backends to run a bundle on; only ``backend`` if no others are requested.

    Otherwise the measured backend is the one named by ``backend``. For ``auto``, it is the one
    that loading selects if that is compared, else the first of the compared backends.

    Raises:
        InputError: a named backend does not support the options, or cannot run the bundle here.
        BackendError, BundleError: as for loading with ``auto``.
    """
    if not options.backends:
        return BackendPlan(BackendChoice(options.backend))
    bundle = open_bundle(engine_dir)
    chosen = LoadOptions(options.providers, options.threads, options.device)
    auto = choose_backend(bundle, chosen).name
    able, left_out = _able(bundle, chosen, options)
    measured = BackendChoice(auto if options.backend == AUTO else options.backend)
    if options.backend == AUTO and measured not in able:
        measured = able[0]
    others = tuple(choice for choice in able if choice != measured)
    return BackendPlan(measured, auto, others, left_out)


def _able(
    bundle: Bundle, chosen: LoadOptions, options: BenchOptions
) -> tuple[list[BackendChoice], tuple[LeftOut, ...]]:
    """Return the choices that can run the bundle, and the backends of ``all`` that cannot."""
    is_all = options.backends == (ALL,)
    choices = _all(chosen) if is_all else [BackendChoice.parse(it) for it in options.backends]
    able, left_out = [], {}
    for choice in choices:
        reason = _why_not(choice.backend, bundle, chosen)
        if reason is None:
            able.append(choice)
        elif is_all and choice.backend != options.backend:
            left_out[choice.backend] = LeftOut(choice.backend, reason)
        else:
            raise InputError(f"backends: expected those that run this bundle here, got {reason}")
    return able, tuple(left_out.values())


def _all(options: LoadOptions) -> list[BackendChoice]:
    """Return every backend, plus a single-threaded choice of those that may use several threads."""
    device = options.device or "cpu"
    may_thread = options.threads is None and device.lower() == "cpu" and cores_available() > 1
    threaded = {name for name in BACKENDS if may_thread and BACKENDS[name].has_device(device)}
    return [
        BackendChoice(name, threads)
        for name in BACKENDS
        for threads in ((None, 1) if name in threaded else (None,))
    ]


def _why_not(name: str, bundle: Bundle, options: LoadOptions) -> str | None:
    """Return why a backend cannot run a bundle with these options; None if it can."""
    try:
        BACKENDS[name].check(options)
    except EdgeExitError as error:
        return str(error)
    why_not = BACKENDS[name].why_not(bundle)
    return None if why_not is None else f"{name}: {why_not.reason}"


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

    def turns(self, image: NDArray[np.float32]) -> list[Turn]:
        """Return the turns of the plain backbone and of all exit paths."""
        return path_turns(self.session, self.baseline, image, f"{self.name}: ")

    def paths(self, times: PathTimes) -> BackendPaths:
        """Return its times and their ratios to the measured backend's."""
        over_ms, prefix = times.baseline.times_ms, f"{self.name}: "
        timings = time_paths(self.session, self.baseline, times.calls, over_ms, prefix)
        pairs = zip(timings, (times.baseline, *times.paths), strict=True)
        return BackendPaths(
            name=self.name,
            device=self.session.device,
            computed_in=self.session.runner.computed_in(),
            baseline=timings[0],
            paths=tuple(timings[1:]),
            over_measured=tuple(_ratio_of_medians(ours, over) for ours, over in pairs),
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
