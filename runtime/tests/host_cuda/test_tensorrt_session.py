"""What a TensorRT session asks of the driver; its answers are in the conformance suite."""

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
from edgeexit_runtime.testing.conformance.support import assert_same
from host_driver import HostDriver
from numpy.typing import NDArray
from tensorrt_double import World

Images = NDArray[np.float32]
RandomImages = Callable[[int, int], Images]
Build = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("library", ["tensorrt", "tensorrt-rtx"])
def test_no_graph_is_replayed_after_its_context_was_reshaped(
    bundle: Path,
    build_engines: Build,
    images_leaving_at: Callable[[list[int]], Images],
    world: World,
    driver: HostDriver,
    library: str,
) -> None:
    build_engines(bundle, library)
    with ee.load(bundle, backend="tensorrt") as session:
        for exits in ([2, 2], [2], [2, 2, 2, 2], [2, 2, 2]) * 4:
            assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
        assert world.failures == []
        assert world.alive["context"] == 6 * 3  # of every part, for batches of 1, 2 and 4
        assert driver.counts().graph_execs == 6 * 3


def test_images_may_change_once_set_images_has_returned(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    with ee.load(chain_folder, backend="tensorrt") as session:
        images = images_leaving_at([1, 1])
        session.runner.set_images(images)
        images[:] = np.nan
        session.runner.run_stage("stage1")
        assert session.runner.run_exit("exit1").exits.tolist() == [False, False]


def test_a_batch_that_nobody_waited_for_does_not_disturb_the_next(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images], driver: HostDriver
) -> None:
    with ee.load(chain_folder, backend="tensorrt") as session:
        session.runner.set_images(images_leaving_at([0, 0, 0]))
        session.runner.run_stage("stage1")
        with driver.counted("cuStreamSynchronize") as waits:
            session.runner.set_images(images_leaving_at([2, 1]))
        assert waits == {"cuStreamSynchronize": 1}  # the pinned images were in use
        assert session.infer(images_leaving_at([2, 1])).exits.tolist() == [2, 1]
        with driver.counted("cuStreamSynchronize") as waits:
            session.runner.set_images(images_leaving_at([0, 1, 2]))
        assert waits == {"cuStreamSynchronize": 0}  # the last exit was waited for


def test_one_copy_and_one_event_per_exit(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images], driver: HostDriver
) -> None:
    names = (
        *("cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuEventSynchronize", "cuEventRecord"),
        *("cuStreamSynchronize", "cuGraphLaunch", "cuMemcpyDtoDAsync", "cuMemAlloc"),
    )

    def infer(exits: list[int]) -> dict[str, int]:
        with driver.counted(*names) as made:
            assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
        return {name: calls for name, calls in made.items() if calls}

    with ee.load(chain_folder, backend="tensorrt") as session:
        assert infer([2, 2, 2]) == {  # the copies down are in the graphs
            "cuMemcpyHtoDAsync": 1,
            "cuGraphLaunch": 6,
            "cuEventRecord": 3,
            "cuEventSynchronize": 3,
        }
        # row 2 takes the place of row 0, of the one tensor that is read later
        assert infer([0, 1, 1])["cuMemcpyDtoDAsync"] == 1
        # rows 2 and 3 take the places of the others, together
        assert infer([0, 0, 1, 1])["cuMemcpyDtoDAsync"] == 1
        assert "cuMemcpyDtoDAsync" not in infer([1, 1, 0, 0])


@pytest.mark.parametrize("deadline_ms", [None, 1e6])
def test_a_call_pushes_the_context_once(
    chain_folder: Path,
    images_leaving_at: Callable[[list[int]], Images],
    driver: HostDriver,
    deadline_ms: float | None,
) -> None:
    names = ("cuCtxPushCurrent", "cuCtxPopCurrent")
    with ee.load(chain_folder, backend="tensorrt") as session:
        with driver.counted(*names) as made:
            session.infer(images_leaving_at([2, 0, 1, 2, 2]), deadline_ms=deadline_ms)
        assert made == dict.fromkeys(names, 1)
        with driver.counted(*names) as made:
            session.runner.synchronize()  # and each call by itself
        assert made == dict.fromkeys(names, 1)


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
        return next(ticks) * 1_000_000

    runner = open_runner("tensorrt", bundle, LoadOptions())
    with ee.Session(bundle.manifest, runner, clock) as session:
        session.thresholds = {"exit1": ee.NEVER, "exit2": 0.6}
        session.infer(images_leaving_at([2, 1]), deadline_ms=1000)
    assert waiting == [0] * len(waiting)
    assert len(waiting) == 6  # the call, the start, three steps, and the answer


def test_both_libraries(
    bundle: Path, build_engines: Build, random_images: RandomImages, world: World
) -> None:
    answers = []
    for library, version in (("tensorrt", "10.3.0"), ("tensorrt-rtx", "1.7.0")):
        build_engines(bundle, library)
        with ee.load(bundle, backend="tensorrt") as session:
            assert session.runner.versions[library] == version
            assert session.device == "cuda:0 host CUDA"
            assert session.threads is None
            answers.append([session.infer(random_images(4, seed)) for seed in range(5)])
    for one, other in zip(*answers, strict=True):
        assert_same(one, other)
    assert world.runs > 0
