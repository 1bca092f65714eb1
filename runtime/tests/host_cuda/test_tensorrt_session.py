"""The whole TensorRT session, against ONNX Runtime's and against the numpy reference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from host_driver import HostDriver
from numpy.typing import NDArray
from tensorrt_double import World

Images = NDArray[np.float32]
Expected = Callable[[Any, Images, Mapping[str, float]], ee.Predictions]
RandomImages = Callable[[int, int], Images]
Build = Callable[..., dict[str, Any]]


def assert_same(got: ee.Predictions, want: ee.Predictions) -> None:
    np.testing.assert_array_equal(got.exits, want.exits)
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)


def test_every_batch_size_again_and_again_in_any_order(
    network: Any, folder: Path, random_images: RandomImages, expected: Expected
) -> None:
    """All of them are CUDA graphs."""
    sizes = [*range(1, 2 * network.max_batch + 2)] * 6
    order = np.random.default_rng(0).permutation(sizes).tolist()
    seen: set[int] = set()
    with (
        ee.load(folder, backend="tensorrt") as session,
        ee.load(folder, backend="onnxruntime", threads=1) as other,
    ):
        for seed, size in enumerate(order):
            images = random_images(size, seed)
            got = session.infer(images)
            assert_same(got, other.infer(images))
            assert_same(got, expected(network, images, session.thresholds))
            seen |= set(got.exits.tolist())
    assert seen == set(range(len(network.exit_names)))  # the batches were mixed


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


def test_rows_behind_the_end_of_a_batch_are_never_read(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    """Those of an earlier batch are still there, and leave where they like."""
    with ee.load(chain_folder, backend="tensorrt") as session:
        for earlier in (0, 1, 2):
            for exits in ([2, 0, 2], [1, 2, 2], [0, 2, 1], [2, 2, 2]):
                session.infer(images_leaving_at([earlier] * 4))
                images = images_leaving_at(exits)
                got = session.infer(images)
                assert got.exits.tolist() == exits
                for row in range(3):
                    alone = session.infer(images[row : row + 1])
                    assert alone.labels[0] == got.labels[row]
                    assert alone.confidences[0] == got.confidences[row]


def test_thresholds_of_every_call(
    network: Any, folder: Path, random_images: RandomImages, expected: Expected
) -> None:
    rng = np.random.default_rng(1)
    with ee.load(folder, backend="tensorrt") as session:
        for seed in range(60):
            values = rng.choice([0.0, 0.4, 0.5, 0.7, 0.9, ee.NEVER], len(session.thresholds))
            session.thresholds = dict(zip(session.thresholds, values.tolist(), strict=True))
            images = random_images(int(rng.integers(1, 6)), seed)
            assert_same(session.infer(images), expected(network, images, session.thresholds))


def test_every_exit_asked_about_every_image(
    network: Any, folder: Path, random_images: RandomImages
) -> None:
    images = random_images(2 * network.max_batch + 1, 0)
    with (
        ee.load(folder, backend="tensorrt") as session,
        ee.load(folder, backend="onnxruntime", threads=1) as other,
    ):
        for _ in range(4):
            got, want = session.infer_all_exits(images), other.infer_all_exits(images)
            np.testing.assert_array_equal(got.labels, want.labels)
            np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)
            assert_same(session.infer(images), other.infer(images))


def test_baseline(network: Any, folder: Path, random_images: RandomImages) -> None:
    with (
        ee.load_baseline(folder, backend="tensorrt") as session,
        ee.load_baseline(folder, backend="onnxruntime", threads=1) as other,
    ):
        for size in (1, 4, 3, 9) * 3:
            images = random_images(size, size)
            assert_same(session.infer(images), other.infer(images))


def test_parts_run_one_by_one_and_logits_stay(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    images = images_leaving_at([0, 1, 0])
    with ee.load(chain_folder, backend="tensorrt") as session:
        runner = session.runner
        for _ in range(4):
            runner.set_images(images)
            runner.run_stage("stage1")
            gate = runner.run_exit("exit1")
            assert gate.exits.tolist() == [True, False, True]
            assert (gate.labels.dtype, gate.confidences.dtype) == (np.int32, np.float32)
            np.testing.assert_array_equal(runner.logits("exit1"), 2 * images[:, 0, 0, :3])
            runner.keep("exit1", np.array([1]))
            runner.run_stage("stage2")
            assert runner.run_exit("exit2").labels.tolist() == [1]
            np.testing.assert_array_equal(runner.logits("exit2"), images[1:2, 0, 1, :3])
            np.testing.assert_array_equal(runner.logits("exit1"), 2 * images[:, 0, 0, :3])


@pytest.mark.parametrize("count", [1, 3])
def test_answers_that_cannot_be(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images], count: int
) -> None:
    images = images_leaving_at([2] * count)
    large = images.copy()
    large[:, 2] = 3e38  # twice that is infinite, and by a weight of 0 it is NaN
    with ee.load(chain_folder, backend="tensorrt") as session:
        for call in (
            session.infer,
            lambda images: session.infer(images, deadline_ms=1e6),
            session.infer_all_exits,
        ):
            with pytest.raises(ee.BackendError, match=r"^exit1: expected .*, got nan to nan, "):
                call(large)
            assert session.infer(images).exits.tolist() == [2] * count


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
        waits = driver.calls("cuStreamSynchronize")
        session.runner.set_images(images_leaving_at([2, 1]))
        assert driver.calls("cuStreamSynchronize") == waits + 1  # the pinned images were in use
        assert session.infer(images_leaving_at([2, 1])).exits.tolist() == [2, 1]
        waits = driver.calls("cuStreamSynchronize")
        session.runner.set_images(images_leaving_at([0, 1, 2]))
        assert driver.calls("cuStreamSynchronize") == waits  # the last exit was waited for


def test_one_copy_and_one_event_per_exit(
    chain_folder: Path, images_leaving_at: Callable[[list[int]], Images], driver: HostDriver
) -> None:
    names = (
        *("cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuEventSynchronize", "cuEventRecord"),
        *("cuStreamSynchronize", "cuGraphLaunch", "cuMemcpyDtoDAsync", "cuMemAlloc"),
    )

    def infer(exits: list[int]) -> dict[str, int]:
        before = {name: driver.calls(name) for name in names}
        assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
        after = {name: driver.calls(name) - before[name] for name in names}
        return {name: calls for name, calls in after.items() if calls}

    with ee.load(chain_folder, backend="tensorrt") as session:
        assert infer([2, 2, 2]) == {  # the copies down are in the graphs
            "cuMemcpyHtoDAsync": 1,
            "cuGraphLaunch": 6,
            "cuEventRecord": 3,
            "cuEventSynchronize": 3,
        }
        # rows 1 and 2 move up by one each, of the one tensor that is read later
        assert infer([0, 1, 1])["cuMemcpyDtoDAsync"] == 2
        # rows 2 and 3 move up by two, together
        assert infer([0, 0, 1, 1])["cuMemcpyDtoDAsync"] == 1
        assert "cuMemcpyDtoDAsync" not in infer([1, 1, 0, 0])


def test_threads_share_a_session(
    network: Any, folder: Path, random_images: RandomImages, expected: Expected
) -> None:
    with ee.load(folder, backend="tensorrt") as session:
        assert work_in_threads(network, [session] * 3, random_images, expected) == []


def test_threads_with_a_session_each(
    network: Any, folder: Path, random_images: RandomImages, expected: Expected
) -> None:
    sessions = [ee.load(folder, backend="tensorrt") for _ in range(3)]
    assert work_in_threads(network, sessions, random_images, expected) == []
    for session in sessions:
        session.close()


def work_in_threads(
    network: Any, sessions: list[ee.Session], random_images: RandomImages, expected: Expected
) -> list[str]:
    wrong: list[str] = []

    def work(session: ee.Session, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for turn in range(30):
                images = random_images(int(rng.integers(1, 10)), 100 * seed + turn)
                assert_same(session.infer(images), expected(network, images, session.thresholds))
        except BaseException as error:  # of another thread, which pytest does not see
            wrong.append(repr(error))

    workers = [
        threading.Thread(target=work, args=(session, seed))
        for seed, session in enumerate(sessions, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return wrong


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
