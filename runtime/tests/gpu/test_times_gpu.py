"""Each way to run the engines beside the default, in turns, as a ratio: below 1 it is faster.

The times of paths and parts are in the reports of the kit's benches.
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
