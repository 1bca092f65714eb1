"""Interleaved timing of the exit paths of bundles: ``python -m edgeexit_runtime time``.

The time of a path does not depend on the weights, so the networks need not be trained.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import ExitEntry
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.loading import load, load_baseline
from edgeexit_runtime.progress import Progress, ignore_progress
from edgeexit_runtime.session import Session
from edgeexit_runtime.system.files import replace_file
from edgeexit_runtime.system.machine import cores_available, cpu_model
from edgeexit_runtime.timing.calls import time_call
from edgeexit_runtime.timing.turns import Turn, take_turns

LEAVE = 0.0  # no softmax value is below it
PASS = 1.5  # above every softmax value, but not NEVER, at which the branch would not be run
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class PathTimes:
    """Times of the path to one exit, or of the plain backbone.

    Attributes:
        name: the exit's name.
        path_macs: the bracket of Eq. 5 for this exit, MACs per image.
        times_ms: milliseconds of each call.
    """

    name: str
    path_macs: int
    times_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.times_ms or not all(0 < ms < np.inf for ms in self.times_ms):
            raise ValueError("times_ms: expected milliseconds above 0, one for each call")


@dataclass(frozen=True, slots=True)
class BundleTimes:
    """Times of one bundle.

    Attributes:
        backbone, branches, input_size, precision: as in its manifest.
        size_bytes: total size of the graphs of its stages and branches.
        baseline: the plain backbone.
        exits: every exit, in order, ``final`` last.
    """

    backbone: str
    branches: str
    input_size: tuple[int, int, int]
    precision: str
    size_bytes: int
    baseline: PathTimes
    exits: tuple[PathTimes, ...]


@dataclass(frozen=True, slots=True)
class MeasuredTimes:
    """Bundles timed in one run.

    Attributes:
        machine: the processor or board, and the system.
        cores: number of processor cores that the process could use.
        device: what the graphs ran on.
        threads: per graph; None if the backend chose.
        versions: of the engine's software.
        bundles: in the order given.
        schema_version: version of this JSON schema.
    """

    machine: str
    cores: int
    device: str
    threads: int | None
    versions: dict[str, str]
    bundles: tuple[BundleTimes, ...]
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not self.bundles:
            raise ValueError("bundles: expected one or more, got none")


def time_bundles(
    folders: Sequence[Path],
    *,
    rounds: int = 100,
    duration_s: float = 20.0,
    seed: int = 0,
    progress: Progress = ignore_progress,
    **chosen: Any,
) -> MeasuredTimes:
    """Time the plain backbone and every exit path of several bundles, interleaved, at batch 1.

    Args:
        folders: the bundles' folders; all bundles are open at the same time.
        rounds, duration_s, seed, progress: arguments of
            :func:`edgeexit_runtime.timing.turns.take_turns`.
        chosen: options of :func:`edgeexit_runtime.load`.

    Raises:
        InputError: there are no folders.
        BackendError, BundleError: see :func:`edgeexit_runtime.load`; one has no plain backbone.
    """
    if not folders:
        raise InputError("bundles: expected one or more, got none")
    with ExitStack() as stack:
        pairs = [
            (stack.enter_context(load(folder, **chosen)), baseline)
            for folder in folders
            for baseline in [stack.enter_context(load_baseline(folder, **chosen))]
        ]
        turns = [turn for at, pair in enumerate(pairs) for turn in _turns(at, *pair, seed)]
        times = take_turns(turns, rounds, duration_s, seed, progress)
        first = pairs[0][0]
        return MeasuredTimes(
            machine=f"{cpu_model()}, {platform.platform()}",
            cores=cores_available(),
            device=first.device,
            threads=first.threads,
            versions=dict(first.runner.versions),
            bundles=tuple(_bundle_times(at, *pair, times) for at, pair in enumerate(pairs)),
        )


def forcing(exit_names: Sequence[str], leave_at: str) -> dict[str, float]:
    """Return thresholds at which every image leaves at ``leave_at``; ``final`` is the last name.

    The branches of all earlier exits are run, as Eq. 5 counts them.
    """
    return {name: LEAVE if name == leave_at else PASS for name in exit_names[:-1]}


def inference_turn(
    session: Session, name: str, thresholds: dict[str, float], image: NDArray[np.float32]
) -> Turn:
    """Return a turn of inferences of one image (1, C, H, W) at some thresholds."""
    wait = session.runner.synchronize
    infer = partial(session.infer, image)

    def prepare() -> None:
        session.thresholds = thresholds

    return Turn(name, prepare, lambda: (time_call(infer, wait)[0],))


def describe_times(times: MeasuredTimes) -> Iterator[str]:
    """Yield one line per bundle: medians of the plain backbone and the exit paths."""
    for bundle in times.bundles:
        plain, *paths = (float(np.median(it.times_ms)) for it in (bundle.baseline, *bundle.exits))
        each = ", ".join(
            f"{it.name} {ms:.3f} ms ({ms / plain:.2f})"
            for it, ms in zip(bundle.exits, paths, strict=True)
        )
        yield f"{bundle.backbone} {bundle.branches}: plain backbone {plain:.3f} ms, {each}"


def write_times(path: Path, times: MeasuredTimes) -> None:
    """Write ``times`` as JSON, atomically."""
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(encode(times), indent=1) + "\n", encoding="utf-8")


def _turns(at: int, session: Session, baseline: Session, seed: int) -> Iterator[Turn]:
    manifest = session.manifest
    shape = (1, *manifest.preprocessing.input_size)
    image = np.random.default_rng(seed).standard_normal(shape, np.float32)
    yield inference_turn(baseline, f"{at}", {}, image)
    for name in manifest.exit_names:
        yield inference_turn(session, f"{at} {name}", forcing(manifest.exit_names, name), image)


def _bundle_times(
    at: int, session: Session, baseline: Session, times: dict[str, tuple[tuple[float, ...], ...]]
) -> BundleTimes:
    manifest = session.manifest

    def path(turn: str, entry: ExitEntry) -> PathTimes:
        return PathTimes(entry.name, entry.path_macs, tuple(ms for (ms,) in times[turn]))

    (plain,) = baseline.manifest.exits
    return BundleTimes(
        backbone=manifest.model.backbone,
        branches=manifest.model.branches,
        input_size=manifest.preprocessing.input_size,
        precision=manifest.precision,
        size_bytes=sum(entry.size_bytes for _, entry in manifest.graphs()),
        baseline=path(f"{at}", plain),
        exits=tuple(path(f"{at} {entry.name}", entry) for entry in manifest.exits),
    )
