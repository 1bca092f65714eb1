"""The same bundle on other backends: their sessions, their turns among the paths, their times.

The same backend with another number of threads counts as another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime import EdgeExitError, Session, load, load_baseline
from edgeexit_runtime.backends import AUTO, BACKENDS, choose_backend
from edgeexit_runtime.backends.base import LoadOptions
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.system.machine import cores_available
from edgeexit_runtime.timing.paths import forcing, inference_turn
from edgeexit_runtime.timing.turns import CALLS_PER_TURN, Turn
from numpy.typing import NDArray

from edgeexit.bench.results.backends import (
    BackendChoice,
    BackendPaths,
    Backends,
    Fastest,
    LeftOut,
)
from edgeexit.bench.results.mixture import BACKEND, EARLY_EXIT, Mixture, Run
from edgeexit.bench.results.options import ALL, BenchOptions
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.bench.timing.paths import PathTimes, path_timing
from edgeexit.errors import InputError
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import ratios_of_means, resampled_medians


@dataclass(frozen=True, slots=True)
class BackendPlan:
    """Which backends run: the one that is measured, the others, and those that cannot."""

    measured: BackendChoice
    auto: str
    others: tuple[BackendChoice, ...]
    left_out: tuple[LeftOut, ...]


def plan_backends(engine_dir: str | Path, options: BenchOptions) -> BackendPlan | None:
    """Return which backends run a bundle here; None where one alone was asked for.

    That is measured which ``backend`` names; of ``auto``, the one that loading takes, where it is
    among those that are compared, else the first of these.

    Raises:
        InputError: a backend that was named does not take the options, or does not run this here.
        BackendError, BundleError: as for loading with ``auto``.
    """
    if not options.backends:
        return None
    bundle = open_bundle(engine_dir)
    chosen = LoadOptions(options.providers, options.threads, options.device)
    auto = choose_backend(bundle, chosen).name
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
    measured = BackendChoice(auto if options.backend == AUTO else options.backend)
    if options.backend == AUTO and measured not in able:
        measured = able[0]
    others = tuple(choice for choice in able if choice != measured)
    return BackendPlan(measured, auto, others, tuple(left_out.values()))


def _all(options: LoadOptions) -> list[BackendChoice]:
    """Return every backend, and with one thread those that may run on several of a CPU here."""
    device = options.device or "cpu"
    may_thread = options.threads is None and device.lower() == "cpu" and cores_available() > 1
    threaded = {name for name in BACKENDS if may_thread and BACKENDS[name].has_device(device)}
    return [
        BackendChoice(name, threads)
        for name in BACKENDS
        for threads in ((None, 1) if name in threaded else (None,))
    ]


def _why_not(name: str, bundle: Any, options: LoadOptions) -> str | None:
    """Return why a backend cannot run a bundle with these options, None where it can."""
    try:
        BACKENDS[name].check(options)
    except EdgeExitError as error:
        return str(error)
    why_not = BACKENDS[name].why_not(bundle)
    return None if why_not is None else f"{name}: {why_not.reason}"


@dataclass(frozen=True, slots=True)
class OtherBackend:
    """One more backend with the bundle and its plain backbone."""

    name: str
    session: Session
    baseline: Session

    @property
    def candidate(self) -> Candidate:
        """Early exit at the bundle's own thresholds."""
        return Candidate(BACKEND, self.name, self.session, self.session.manifest.thresholds)

    def turns(self, image: NDArray[np.float32]) -> Iterator[Turn]:
        """Yield the plain backbone and all exit paths."""
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
        """Return its times, set in relation to the measured backend's."""

        def timing(turn: str, like: Any) -> Any:
            times_ms = [ms for (ms,) in times.more[turn]]
            return path_timing(like, times_ms, plain, times.baseline.times_ms)

        (plain,) = self.baseline.manifest.exits
        exits = self.session.manifest.exits
        baseline = timing(self.baseline_turn, plain)
        paths = tuple(timing(self.path_turn(exit_.name), exit_) for exit_ in exits)
        pairs = zip((baseline, *paths), (times.baseline, *times.paths), strict=True)
        return BackendPaths(
            self.name,
            self.session.device,
            self.session.runner.computed_in(),
            baseline,
            paths,
            tuple(_ratio(ours.times_ms, over.times_ms) for ours, over in pairs),
        )


@contextmanager
def open_others(
    engine_dir: str | Path, plan: BackendPlan | None, chosen: Mapping[str, Any]
) -> Iterator[list[OtherBackend]]:
    """Load a bundle on the other backends.

    Raises:
        BackendError: one does not start.
        BundleError: the bundle is not what it was, or has no plain backbone.
    """
    with ExitStack() as stack:
        opened = []
        for choice in () if plan is None else plan.others:
            with_choice = with_backend(chosen, choice)
            session = stack.enter_context(load(engine_dir, **with_choice))
            if choice.threads is not None and session.threads is None:
                continue  # it computes on another device, as it does without
            baseline = stack.enter_context(load_baseline(engine_dir, **with_choice))
            opened.append(OtherBackend(choice.name, session, baseline))
        yield opened


def with_backend(chosen: Mapping[str, Any], choice: BackendChoice) -> dict[str, Any]:
    """Return the arguments of loading ``chosen``, with this backend and its threads."""
    threads = chosen["threads"] if choice.threads is None else choice.threads
    return {**chosen, "backend": choice.backend, "threads": threads}


def judge_backends(
    plan: BackendPlan | None,
    others: Sequence[OtherBackend],
    times: PathTimes,
    mixture: Mixture | None,
) -> Backends | None:
    """Return what the backends take, and which is the fastest; None where one alone ran."""
    if plan is None:
        return None
    paths = tuple(other.paths(times) for other in others)
    fastest: tuple[Fastest, ...] = ()
    if others and mixture is not None:
        fastest = (_fastest_mixture(plan.measured.name, mixture),)
    elif others:
        fastest = tuple(_fastest_path(plan.measured.name, times, paths))
    return Backends(plan.measured.name, plan.auto, paths, plan.left_out, fastest)


def _fastest_mixture(measured: str, mixture: Mixture) -> Fastest:
    runs = [run for run in mixture.runs if run.role in (EARLY_EXIT, BACKEND)]
    first, second, *_ = sorted(runs, key=lambda run: run.latency.mean_ms)

    def name(run: Run) -> str:
        return measured if run.role == EARLY_EXIT else run.name

    (ratio,) = ratios_of_means([np.array(first.times_ms)], np.array(second.times_ms))
    means = first.latency.mean_ms, second.latency.mean_ms
    return Fastest(EARLY_EXIT, name(first), name(second), *means, ratio)


def _fastest_path(
    measured: str, times: PathTimes, others: Sequence[BackendPaths]
) -> Iterator[Fastest]:
    for index, path in enumerate(times.paths):
        timings = {measured: path, **{other.name: other.paths[index] for other in others}}
        ordered = sorted(timings.items(), key=lambda item: item[1].latency.p50_ms)
        (first, ours), (second, theirs), *_ = ordered
        ratio = _ratio(ours.times_ms, theirs.times_ms)
        medians_ms = ours.latency.p50_ms, theirs.latency.p50_ms
        yield Fastest(path.name, first, second, *medians_ms, ratio)


def _ratio(times_ms: Sequence[float], over_ms: Sequence[float]) -> Interval:
    """Return the ratio of medians; the same rounds are drawn of both."""
    drawn, drawn_over = resampled_medians([times_ms, over_ms], CALLS_PER_TURN)
    return Interval.of(float(np.median(times_ms) / np.median(over_ms)), drawn / drawn_over)
