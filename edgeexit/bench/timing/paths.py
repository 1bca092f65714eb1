"""Every stage, branch and forced exit path, timed on one image, interleaved with the baseline.

Before that, untimed rounds are run until the device's speed is stable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import MS_PER_S, summarize, time_call
from edgeexit_runtime.timing.paths import forcing, inference_turn
from edgeexit_runtime.timing.turns import MIN_ROUNDS, Turn, take_turns
from numpy.typing import NDArray

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.timings import PartTiming, PathTiming, WarmUp

PARTS = "parts"
WINDOW_S = 0.5
AGREE = 0.05

Calls = tuple[tuple[float, ...], ...]
"""The milliseconds of each call of a turn."""


@dataclass(frozen=True, slots=True)
class PathTimes:
    """Timings of parts, paths and the plain backbone.

    Attributes:
        parts: stages and branches in the order of execution.
        baseline: the plain backbone.
        paths: every exit, forced.
        warm_up: before all measurements.
        calls: of all turns, by name.
    """

    parts: tuple[PartTiming, ...]
    baseline: PathTiming
    paths: tuple[PathTiming, ...]
    warm_up: WarmUp
    calls: dict[str, Calls]


def measure_paths(
    session: Session,
    baseline: Session,
    image: NDArray[np.float32],
    options: BenchOptions,
    progress: Progress,
    more: Sequence[Turn] = (),
) -> PathTimes:
    """Time the parts, the plain backbone and the paths.

    All forced paths share one session; the untimed calls of a turn absorb the cost of binding the
    exits whose thresholds changed. A session for each would keep several copies of the weights in
    memory and caches, unlike any deployed device.

    Args:
        session: the bundle; its thresholds are changed.
        image: (1, C, H, W) float32.
        more: additional turns in the same rounds.
    """
    plain, *paths = path_turns(session, baseline, image)
    parts = Turn(PARTS, partial(session.runner.set_images, image), _parts_call(session))
    turns = [plain, parts, *paths, *more]
    warmed = warm_up(turns, options, progress)
    calls = take_turns(turns, options.rounds, options.duration_s, options.seed, progress)
    baseline_ms = [ms for (ms,) in calls[plain.name]]
    plain_timing, *path_timings = time_paths(session, baseline, calls, baseline_ms)
    return PathTimes(
        _part_timings(session, calls[PARTS]), plain_timing, tuple(path_timings), warmed, calls
    )


def path_turns(
    session: Session, baseline: Session, image: NDArray[np.float32], prefix: str = ""
) -> list[Turn]:
    """Return the turns of the plain backbone and of all exit paths.

    Args:
        prefix: of their names.
    """
    (plain,) = baseline.manifest.exits
    names = session.manifest.exit_names
    return [
        inference_turn(baseline, f"{prefix}{plain.name}", {}, image),
        *(
            inference_turn(session, f"{prefix}path {name}", forcing(names, name), image)
            for name in names
        ),
    ]


def time_paths(
    session: Session,
    baseline: Session,
    calls: Mapping[str, Calls],
    over_ms: Sequence[float],
    prefix: str = "",
) -> list[PathTiming]:
    """Return the timings of the plain backbone and of all exit paths.

    Args:
        calls: of the turns of :func:`path_turns` with this prefix, by name.
        over_ms: of the plain backbone that ratios are to, in the same rounds.
    """
    (plain,) = baseline.manifest.exits
    entries = {f"{prefix}path {exit_.name}": exit_ for exit_ in session.manifest.exits}
    timings = []
    for turn, entry in {f"{prefix}{plain.name}": plain, **entries}.items():
        times_ms = [ms for (ms,) in calls[turn]]
        timings.append(
            PathTiming(
                name=entry.name,
                path_macs=entry.path_macs,
                ratio=float(np.median(times_ms) / np.median(over_ms)),
                macs_ratio=entry.path_macs / plain.path_macs,
                latency=summarize(np.array(times_ms)),
                times_ms=tuple(times_ms),
            )
        )
    return timings


def _part_list(session: Session) -> list[tuple[str, str, int]]:
    """Return name, kind and MACs of every stage and branch in the order of execution."""
    stages = {stage.name: stage.macs for stage in session.manifest.stages}
    branches = {exit_.name: exit_.branch_macs for exit_ in session.manifest.exits}
    return [
        (name, "stage", stages[name]) if name in stages else (name, "branch", branches[name])
        for name, _ in session.manifest.graphs()
    ]


def _parts_call(session: Session) -> Callable[[], tuple[float, ...]]:
    runner, wait = session.runner, session.runner.synchronize
    runs: list[Callable[[], object]] = [
        partial(runner.run_stage if kind == "stage" else runner.run_exit, name)
        for name, kind, _ in _part_list(session)
    ]
    return lambda: tuple([time_call(run, wait)[0] for run in runs])


def _part_timings(session: Session, calls: Calls) -> tuple[PartTiming, ...]:
    columns = zip(*calls, strict=True)
    return tuple(
        PartTiming(name, kind, macs, summarize(np.array(column)), column)
        for (name, kind, macs), column in zip(_part_list(session), columns, strict=True)
    )


def warm_up(
    turns: Sequence[Turn],
    options: BenchOptions,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmUp:
    """Run untimed rounds until the device's speed is stable.

    It is stable once the median rounds of two consecutive windows of :data:`WINDOW_S` differ by no
    more than :data:`AGREE`. The warm-up ends after ``options.warm_up_s`` at the latest, but not
    before :data:`MIN_ROUNDS` rounds.

    Args:
        options: ``warm_up_s`` is the time limit.
        clock: monotonic seconds.
    """
    start = clock()
    rounds = 0
    medians_ms: list[float] = []
    while not _agree(medians_ms):
        window: list[float] = []
        window_start = before = clock()
        while len(window) < MIN_ROUNDS or before - window_start < WINDOW_S:
            if rounds >= MIN_ROUNDS and before - start >= options.warm_up_s:
                progress("warm-up", 1)
                return WarmUp(before - start, rounds, False, tuple(medians_ms))
            for turn in turns:
                turn.prepare()
                turn.call()
            rounds += 1
            now = clock()
            window.append((now - before) * MS_PER_S)
            before = now
            by_time = (now - start) / options.warm_up_s if options.warm_up_s else 1
            progress("warm-up", min(rounds / MIN_ROUNDS, by_time, 1))
        medians_ms.append(float(np.median(window)))
    progress("warm-up", 1)
    return WarmUp(clock() - start, rounds, True, tuple(medians_ms))


def _agree(medians_ms: Sequence[float]) -> bool:
    """Return whether the medians of the last two windows differ by no more than AGREE."""
    if len(medians_ms) < 2:
        return False
    before, last = medians_ms[-2:]
    return abs(last - before) <= AGREE * before
