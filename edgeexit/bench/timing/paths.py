"""Every stage, branch and forced exit path, timed on one image, interleaved with the baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.bundle.manifest import ExitEntry
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.calls import summarize, time_call
from edgeexit_runtime.timing.paths import forcing, inference_turn
from edgeexit_runtime.timing.turns import Turn, take_turns
from numpy.typing import NDArray

from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.timings import PartTiming, PathTiming, WarmUp
from edgeexit.bench.timing.warming import warm_up

PARTS = "parts"
PATH = "path "


@dataclass(frozen=True, slots=True)
class PathTimes:
    """Timings of parts, paths and the plain backbone.

    Attributes:
        parts: stages and branches in the order of execution.
        baseline: the plain backbone.
        paths: every exit, forced.
        warm_up: before all measurements.
        more: the milliseconds of each call of the additional turns, by name.
    """

    parts: tuple[PartTiming, ...]
    baseline: PathTiming
    paths: tuple[PathTiming, ...]
    warm_up: WarmUp
    more: dict[str, tuple[tuple[float, ...], ...]]


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
    exits = session.manifest.exits
    (entry,) = baseline.manifest.exits
    turns = [
        inference_turn(baseline, entry.name, {}, image),
        Turn(PARTS, partial(session.runner.set_images, image), _parts_call(session)),
        *(
            inference_turn(
                session, PATH + exit_.name, forcing(session.manifest.exit_names, exit_.name), image
            )
            for exit_ in exits
        ),
        *more,
    ]
    warmed = warm_up(turns, options, progress)
    times = take_turns(turns, options.rounds, options.duration_s, options.seed, progress)
    baseline_ms = [ms for (ms,) in times[entry.name]]
    paths = tuple(
        path_timing(exit_, [ms for (ms,) in times[PATH + exit_.name]], entry, baseline_ms)
        for exit_ in exits
    )
    return PathTimes(
        _part_timings(session, times[PARTS]),
        path_timing(entry, baseline_ms, entry, baseline_ms),
        paths,
        warmed,
        {turn.name: times[turn.name] for turn in more},
    )


def part_list(session: Session) -> list[tuple[str, str, int]]:
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
        for name, kind, _ in part_list(session)
    ]
    return lambda: tuple([time_call(run, wait)[0] for run in runs])


def _part_timings(session: Session, times: tuple[tuple[float, ...], ...]) -> tuple[PartTiming, ...]:
    columns = zip(*times, strict=True)
    return tuple(
        PartTiming(name, kind, macs, summarize(np.array(column)), column)
        for (name, kind, macs), column in zip(part_list(session), columns, strict=True)
    )


def path_timing(
    exit_: ExitEntry, times_ms: Sequence[float], baseline: ExitEntry, baseline_ms: Sequence[float]
) -> PathTiming:
    """Return the timing of an exit path, with its ratio to the baseline in the same rounds."""
    return PathTiming(
        name=exit_.name,
        path_macs=exit_.path_macs,
        ratio=float(np.median(times_ms) / np.median(baseline_ms)),
        macs_ratio=exit_.path_macs / baseline.path_macs,
        latency=summarize(np.array(times_ms)),
        times_ms=tuple(times_ms),
    )
