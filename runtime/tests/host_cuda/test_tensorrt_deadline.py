"""Deadlines on the TensorRT backend: the same answers as ONNX Runtime's, by the same clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends import open_runner
from edgeexit_runtime.backends.base import LoadOptions
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.testing.conformance import support
from edgeexit_runtime.testing.conformance.support import on_step_clock
from host_driver import HostDriver
from numpy.typing import NDArray

Images = NDArray[np.float32]
RandomImages = Callable[[int, int], Images]
NS_PER_MS = 1_000_000


def open_session(folder: Path, backend: str) -> ee.Session:
    return on_step_clock(ee.load(folder, backend=backend, threads=1))


def assert_same(got: ee.Predictions, want: ee.Predictions) -> None:
    support.assert_same(got, want)
    np.testing.assert_array_equal(got.cut_short, want.cut_short)


def test_as_onnx_runtime_for_any_deadline(
    network: Any, folder: Path, random_images: RandomImages
) -> None:
    cut = 0
    rng = np.random.default_rng(2)
    with open_session(folder, "tensorrt") as ours, open_session(folder, "onnxruntime") as other:
        assert ours.warm_up(network.max_batch) == other.warm_up(network.max_batch)
        for seed in range(80):
            images = random_images(int(rng.integers(1, 2 * network.max_batch + 2)), seed)
            deadline_ms = float(rng.choice([0.5, 2.5, 3.5, 4.5, 9.5, 1000.0]))
            got = ours.infer(images, deadline_ms=deadline_ms)
            assert_same(got, other.infer(images, deadline_ms=deadline_ms))
            assert_same(ours.infer(images), other.infer(images))  # none of it stays behind
            cut += int(got.cut_short.sum())
    assert cut > 0 or len(network.exit_names) == 1


def test_exits_that_are_off_answer_where_none_other_can(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    with (
        open_session(chain_folder, "tensorrt") as ours,
        open_session(chain_folder, "onnxruntime") as other,
    ):
        images = images_leaving_at([2, 0, 1])
        for off in ({"exit1"}, {"exit2"}, {"exit1", "exit2"}):
            thresholds = {name: ee.NEVER if name in off else 0.6 for name in ("exit1", "exit2")}
            ours.thresholds = other.thresholds = thresholds
            assert ours.warm_up(3) == other.warm_up(3)
            for deadline_ms in (1.5, 2.5, 3.5, 9.5):
                got = ours.infer(images, deadline_ms=deadline_ms)
                assert_same(got, other.infer(images, deadline_ms=deadline_ms))


def test_a_stage_alone_is_waited_for_before_the_clock_is_read(
    chain_folder: Path,
    images_leaving_at: Callable[[list[int]], Images],
    driver: HostDriver,
) -> None:
    waiting: list[int] = []
    bundle = open_bundle(chain_folder)
    ticks = itertools.count()

    def clock() -> int:
        waiting.append(driver.counts().waiting)
        return next(ticks) * NS_PER_MS

    runner = open_runner("tensorrt", bundle, LoadOptions())
    with ee.Session(bundle.manifest, runner, clock) as session:
        session.thresholds = {"exit1": ee.NEVER, "exit2": 0.6}
        session.infer(images_leaving_at([2, 1]), deadline_ms=1000)
    assert waiting == [0] * len(waiting)
    assert len(waiting) == 6  # the call, the start, three steps, and the answer


def test_frames_of_any_size(chain_folder: Path) -> None:
    pytest.importorskip("PIL")
    frames = [np.random.default_rng(3).integers(0, 256, (9, 7, 3), np.uint8) for _ in range(3)]
    with (
        ee.load(chain_folder, backend="tensorrt") as session,
        ee.load(chain_folder, backend="onnxruntime", threads=1) as other,
    ):
        images = session.prepare(frames)
        np.testing.assert_array_equal(images, other.prepare(frames))
        got, want = session.infer(images), other.infer(images)
        np.testing.assert_array_equal(got.labels, want.labels)
        np.testing.assert_array_equal(got.exits, want.exits)
