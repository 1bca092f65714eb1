"""Joules per sample of each candidate, in interleaved turns of about a second.

A sensor measures the whole device, including any other load, and power rises with temperature.
The candidates and the idle device are therefore interleaved, in a new random order each round.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.timing.paths import forcing
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.device.meters import Meter
from edgeexit.bench.device.sensors import FoundMeters
from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.energy import Energy, EnergyRun, EnergyTurn
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.candidates import Candidate

TURN_S = 1.0
REST_S = 0.2  # threads of a backend keep spinning for some 10 ms after the last call
MIN_ROUNDS = 3
PATH = "path"  # role of a bundle whose images are all forced to leave at one exit


def forced_paths(session: Session) -> Iterator[Candidate]:
    """Yield every exit path; with the baseline, the candidates when there are no real images."""
    names = session.manifest.exit_names
    for name in names:
        yield Candidate(PATH, f"path {name}", session, forcing(names, name))


def measure_energy(
    candidates: Sequence[Candidate],
    images: BenchImages,
    found: FoundMeters,
    options: BenchOptions,
    progress: Progress,
    turn_s: float = TURN_S,
    rest_s: float = REST_S,
) -> Energy:
    """Return the energy of each candidate, or why it was not measured.

    Args:
        images: run in a random order that follows from ``options.seed``.
        found: the meters; their joules are added up.
        options: rounds are run for ``duration_s``, and at least :data:`MIN_ROUNDS`.
        turn_s: seconds per turn, of a candidate or of the idle device.
        rest_s: unmeasured seconds before a turn of the idle device.
    """
    if not found.meters:
        return Energy((), found.notes, images.source, None, (), ())
    rng = np.random.default_rng(options.seed)
    shuffled = images.images[rng.permutation(len(images.images))]
    takes = [
        partial(_rest, found.meters, turn_s, rest_s),
        *(partial(_run, it, _one_by_one(shuffled), found.meters, turn_s) for it in candidates),
    ]
    try:
        idle, *turns = _take_turns(takes, options, rng, progress)
    except OSError as error:
        note = f"No energy was measured: a sensor failed during the run ({error})."
        return Energy((), (note, *found.notes), images.source, None, (), ())
    idle_w = float(np.median([turn.joules / turn.seconds for turn in idle]))
    return Energy(
        sensors=tuple(meter.sensor for meter in found.meters),
        notes=found.notes,
        source=images.source,
        idle_w=idle_w,
        idle_turns=tuple(idle),
        runs=tuple(
            _summarize(candidate.label, own, idle_w)
            for candidate, own in zip(candidates, turns, strict=True)
        ),
    )


def _take_turns(
    takes: Sequence[Callable[[], EnergyTurn]],
    options: BenchOptions,
    rng: np.random.Generator,
    progress: Progress,
) -> list[list[EnergyTurn]]:
    """Return the turns of each; every round takes them in a new random order."""
    turns: list[list[EnergyTurn]] = [[] for _ in takes]
    start = time.perf_counter()
    rounds = 0
    while rounds < MIN_ROUNDS or time.perf_counter() - start < options.duration_s:
        for index in rng.permutation(len(takes)):
            turns[index].append(takes[index]())
            by_time = (time.perf_counter() - start) / options.duration_s
            done = sum(map(len, turns)) / (MIN_ROUNDS * len(turns))
            progress("energy", min(by_time, done, 1))
        rounds += 1
    progress("energy", 1)
    return turns


def _one_by_one(images: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield single images (1, C, H, W) as views, again and again."""
    for index in itertools.cycle(range(len(images))):
        yield images[index : index + 1]


def _run(
    candidate: Candidate,
    images: Iterator[NDArray[np.float32]],
    meters: Sequence[Meter],
    turn_s: float,
) -> EnergyTurn:
    """Run images one by one for ``turn_s`` seconds, from where the last turn stopped."""
    candidate.prepare()
    session = candidate.session
    settle(partial(session.infer, next(images)))
    samples = 0
    _start(meters)
    start = time.perf_counter()
    while samples == 0 or time.perf_counter() - start < turn_s:
        session.infer(next(images))
        samples += 1
    session.runner.synchronize()
    return EnergyTurn(time.perf_counter() - start, _stop(meters), samples)


def _rest(meters: Sequence[Meter], turn_s: float, rest_s: float) -> EnergyTurn:
    """Leave the device idle: for ``rest_s`` unmeasured, then for a measured turn."""
    time.sleep(rest_s)
    _start(meters)
    start = time.perf_counter()
    time.sleep(turn_s)
    return EnergyTurn(time.perf_counter() - start, _stop(meters), 0)


def _start(meters: Sequence[Meter]) -> None:
    for index, meter in enumerate(meters):
        try:
            meter.start()
        except OSError:
            _stop(meters[:index])
            raise


def _stop(meters: Sequence[Meter]) -> float:
    """Return the sum of joules. Every meter is stopped, even if one fails."""
    joules, failed = 0.0, None
    for meter in meters:
        try:
            joules += meter.stop()
        except OSError as error:
            failed = error
    if failed is not None:
        raise failed
    return joules


def _summarize(name: str, turns: Sequence[EnergyTurn], idle_w: float) -> EnergyRun:
    per_sample = np.array([turn.joules / turn.samples for turn in turns])
    above_idle = [(turn.joules - idle_w * turn.seconds) / turn.samples for turn in turns]
    return EnergyRun(
        name=name,
        power_w=sum(turn.joules for turn in turns) / sum(turn.seconds for turn in turns),
        sample_j=float(np.median(per_sample)),
        sample_min_j=float(per_sample.min()),
        sample_max_j=float(per_sample.max()),
        above_idle_j=float(np.median(above_idle)),
        turns=tuple(turns),
    )
