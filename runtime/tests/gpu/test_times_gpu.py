"""Times of exit paths at batch 1, TensorRT's session beside ONNX Runtime's: to be read.

And of each way to run the engines beside the default, in turns, as a ratio: below 1 it is faster.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions

pytestmark = pytest.mark.gpu

CALLS = 300


def path_times(session: ee.Session, images: Any) -> dict[str, float]:
    """Return the median of a call in microseconds for everyone leaving at each exit."""
    names, times = session.manifest.exit_names, {}
    for name in names:
        session.thresholds = dict.fromkeys(names[:-1], ee.NEVER)
        if name != names[-1]:
            session.thresholds = {**session.thresholds, name: 0.0}
        durations = []
        for _ in range(CALLS):
            begin = time.perf_counter_ns()
            session.infer(images)
            durations.append(time.perf_counter_ns() - begin)
        times[name] = float(np.median(durations[CALLS // 3 :])) / 1000
    return times


def part_times(session: ee.Session) -> dict[str, float]:
    """Return the median of one part enqueued and waited for, in microseconds."""
    runner: Any = session.runner
    times = {}
    for name in [name for name, _ in session.manifest.graphs()]:
        run = runner.run_exit if name in session.manifest.exit_names else runner.run_stage
        durations = []
        for _ in range(CALLS):
            begin = time.perf_counter_ns()
            run(name)
            runner.synchronize()
            durations.append(time.perf_counter_ns() - begin)
        times[name] = float(np.median(durations[CALLS // 3 :])) / 1000
    return times


def show(title: str, times: dict[str, float]) -> None:
    line = "  ".join(f"{name} {value:.0f}" for name, value in times.items())
    sys.stdout.write(f"\n{title}, us: {line}")


CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]
BACKENDS = {
    "tensorrt": {"backend": "tensorrt"},
    "onnxruntime cuda": {"backend": "onnxruntime", "providers": CUDA},
}


@pytest.mark.parametrize("title", BACKENDS)
def test_times(exported: Path, make_engines: Callable[[Path], None], title: str) -> None:
    make_engines(exported)
    size = ee.load_manifest(exported).preprocessing.input_size
    images = np.random.default_rng(0).standard_normal((1, *size)).astype(np.float32)
    options: dict[str, Any] = BACKENDS[title]
    with ee.load(exported, **options) as session:
        show(f"{exported.name} {title} paths", path_times(session, images))
        show(f"{exported.name} {title} parts", part_times(session))


ROUNDS = 40


def test_times_of_ways(
    exported: Path, make_engines: Callable[[Path], None], ways: dict[str, dict[str, Any]]
) -> None:
    make_engines(exported)
    # ahead where images leave as they are expected to, so as tuned and never where all are sent
    ways = {"default": {}, **ways, "a stage ahead": {"speculate_below": 1}}
    manifest = ee.load_manifest(exported)
    size = manifest.preprocessing.input_size
    rng = np.random.default_rng(0)
    images = rng.standard_normal((manifest.max_batch, *size)).astype(np.float32)
    with contextlib.ExitStack() as stack:
        sessions = {
            name: stack.enter_context(
                ee.load(exported, backend=TensorRTBackend(TensorRTOptions(**options)))
            )
            for name, options in ways.items()
        }
        for title, count, thresholds in cases(manifest):
            for session in sessions.values():
                session.thresholds = thresholds
            times = interleaved(sessions, images[:count], rng)
            usual = times.pop("default")
            ratios = {name: took / usual for name, took in times.items()}
            line = "  ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items())
            sys.stdout.write(f"\n{exported.name} {title}: {usual:.1f} us; over that: {line}")
        wasted = sessions["a stage ahead"].statistics().wasted_stages
        sys.stdout.write(f"\n{exported.name}: {wasted} stages begun ahead in vain\n")


def cases(manifest: ee.Manifest) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yield everyone leaving at each exit, alone and in the largest batch, and as it is tuned."""
    names = manifest.exit_names
    for count in sorted({1, manifest.max_batch}):
        for name in names:
            forced = dict.fromkeys(names[:-1], 1.0)
            forced |= {name: 0.0} if name in forced else {}
            yield f"{name}, batch {count}", count, forced
        yield f"as tuned, batch {count}", count, manifest.thresholds


def interleaved(sessions: dict[str, ee.Session], images: Any, rng: Any) -> dict[str, float]:
    """Return the median of a call in microseconds, all in turns and in random order."""
    durations: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(ROUNDS):
        for name in rng.permutation(list(sessions)):
            begin = time.perf_counter_ns()
            sessions[name].infer(images)
            if turn > 3:
                durations[name].append((time.perf_counter_ns() - begin) / 1000)
    return {name: float(np.median(times)) for name, times in durations.items()}
