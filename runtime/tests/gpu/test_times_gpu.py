"""Times of exit paths at batch 1, TensorRT's session beside ONNX Runtime's: to be read."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest

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


def test_times(exported: Path, make_engines: Callable[[Path], None]) -> None:
    make_engines(exported)
    size = ee.load_manifest(exported).preprocessing.input_size
    images = np.random.default_rng(0).standard_normal((1, *size)).astype(np.float32)
    cuda = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    for title, options in (
        ("tensorrt", {"backend": "tensorrt"}),
        ("onnxruntime cuda", {"backend": "onnxruntime", "providers": cuda}),
    ):
        with ee.load(exported, **options) as session:
            show(f"{exported.name} {title} paths", path_times(session, images))
            show(f"{exported.name} {title} parts", part_times(session))
