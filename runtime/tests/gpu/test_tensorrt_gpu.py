"""The TensorRT backend on a real device, against ONNX Runtime on the CPU: see --engines."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions
from edgeexit_runtime.testing import edit_manifest
from numpy.typing import NDArray

pytestmark = pytest.mark.gpu

Images = NDArray[np.float32]
RandomImages = Callable[[int, int], Images]


@pytest.fixture
def folder(
    network: Any, write_bundle: Callable[[Any], Path], make_engines: Callable[[Path], None]
) -> Path:
    """The bundle of every network in turn, with engines of this device."""
    folder = write_bundle(network)
    make_engines(folder)
    return folder


def assert_same(got: ee.Predictions, want: ee.Predictions) -> None:
    np.testing.assert_array_equal(got.exits, want.exits)
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-4)


def test_every_batch_size_again_and_again(
    network: Any, folder: Path, random_images: RandomImages, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = np.random.default_rng(0).permutation([*range(1, 2 * network.max_batch + 2)] * 6)
    with (
        caplog.at_level(logging.WARNING),
        ee.load(folder, backend="tensorrt") as session,
        ee.load(folder, backend="onnxruntime", threads=1) as other,
    ):
        for seed, size in enumerate(sizes.tolist()):
            images = random_images(size, seed)
            assert_same(session.infer(images), other.infer(images))
        runner: Any = session.runner
        captured = {
            name: [count for count, run in part.runs.items() if run.graph]
            for name, part in runner._parts.items()
        }
        lines = [session.device, str(runner.versions), f"batch sizes in CUDA graphs: {captured}"]
        sys.stdout.write("\n" + "\n".join([*lines, *caplog.messages]) + "\n")


def test_other_ways_to_run(folder: Path, random_images: RandomImages, way: dict[str, Any]) -> None:
    with (
        ee.load(folder, backend="tensorrt") as usual,
        ee.load(folder, backend=TensorRTBackend(TensorRTOptions(**way))) as session,
    ):
        for seed in range(60):
            images = random_images(1 + seed % 9, seed)
            got, want = session.infer(images), usual.infer(images)
            np.testing.assert_array_equal(got.exits, want.exits)
            np.testing.assert_array_equal(got.confidences, want.confidences)
            assert_same(session.infer(images, deadline_ms=1e6), want)


@pytest.fixture
def chain(bundle: Path, make_engines: Callable[[Path], None]) -> Path:
    """The bundle of a chain of stages, with engines of this device."""
    make_engines(bundle)
    return bundle


def test_a_stage_begun_ahead(chain: Path, images_leaving_at: Callable[[list[int]], Images]) -> None:
    histograms = {"exit1": [1, *[0] * 9], "exit2": [9, *[0] * 9], "final": [0] * 10}
    thresholds = dict(ee.load_manifest(chain).thresholds)
    expected = {"images": 10, "data": "d", "thresholds": thresholds, "histograms": histograms}
    edit_manifest(chain, lambda manifest: manifest.update(expected=expected))
    way = TensorRTOptions(speculate_below=0.5, map_images=True)
    with ee.load(chain, backend=TensorRTBackend(way)) as session:
        for index in [0, 2, 1, 0, 0, 1, 2] * 10:
            assert session.infer(images_leaving_at([index])).exits.tolist() == [index]
        assert session.statistics().wasted_stages == 30


def test_deadlines(chain: Path, images_leaving_at: Callable[[list[int]], Images]) -> None:
    images = images_leaving_at([2, 0, 1])
    with ee.load(chain, backend="tensorrt") as session:
        reached = session.warm_up(3)
        sys.stdout.write(f"\nms to each exit: {reached}\n")
        assert 0 < reached["exit1"] < reached["exit2"] < reached["final"]
        in_time = session.infer(images, deadline_ms=1e4)
        assert in_time.exits.tolist() == [2, 0, 1]
        late = session.infer(images, deadline_ms=1e-6)
        assert late.exits.tolist() == [0, 0, 0]
        assert late.cut_short is not None
        assert late.cut_short.tolist() == [True, False, True]


def test_the_first_of_equal_logits_is_the_label(chain: Path) -> None:
    """As ONNX says of ArgMax."""
    with ee.load(chain, backend="tensorrt") as session:
        for count in (1, 4):
            found = session.infer(np.zeros((count, 3, 4, 4), np.float32))
            assert found.labels.tolist() == [0] * count
            np.testing.assert_allclose(found.confidences, 1 / 3, rtol=1e-6)


def test_an_error_in_one_session_is_none_of_another(
    chain: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    images = images_leaving_at([2, 1, 0])
    damaged = images.copy()
    damaged[:, 2] = 3e38  # twice that is infinite, and by a weight of 0 it is NaN
    first, second = (ee.load(chain, backend="tensorrt") for _ in range(2))
    first.infer(images)
    first.close()
    for _ in range(3):
        with pytest.raises(ee.BackendError, match=r"^exit1: expected .*, got nan to nan, "):
            second.infer(damaged)
        assert second.infer(images).exits.tolist() == [2, 1, 0]
    second.close()


def test_loading_beside_a_thread_that_waits_for_the_device(
    chain: Path, images_leaving_at: Callable[[list[int]], Images], caplog: pytest.LogCaptureFixture
) -> None:
    import pycuda.driver as cuda
    from edgeexit_runtime.backends.cuda.context import PrimaryContext

    over, errors = threading.Event(), []
    context = PrimaryContext()

    def wait() -> None:
        while not over.is_set():
            try:
                with context:
                    cuda.Context.synchronize()
            except ee.BackendError as error:  # what CUDA tells who waits while others capture
                errors.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        for _ in range(5):
            with ee.load(chain, backend="tensorrt") as session:
                assert session.infer(images_leaving_at([2, 0, 1])).exits.tolist() == [2, 0, 1]
    finally:
        over.set()
        thread.join()
        context.release()
    sys.stdout.write(f"\n{len(errors)} errors: {sorted(set(errors))}\n{caplog.messages}\n")


def test_beside_torch_and_onnxruntime_on_cuda(
    chain: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch has no CUDA here")
    cuda = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    weights = torch.ones(256, 256, device="cuda")
    with (
        ee.load(chain, backend="tensorrt") as session,
        ee.load(chain, backend="onnxruntime", providers=cuda) as other,
    ):
        for exits in ([2, 0, 1], [1], [0, 2, 2, 1]) * 10:
            images = images_leaving_at(exits)
            product = weights @ weights
            assert_same(session.infer(images), other.infer(images))
            assert float(product[0, 0]) == 256


def test_threads(folder: Path, random_images: RandomImages) -> None:
    wrong: list[str] = []

    def work(session: ee.Session, seed: int) -> None:
        try:
            with ee.load(folder, backend="onnxruntime", threads=1) as other:
                for turn in range(50):
                    images = random_images(1 + turn % 9, 1000 * seed + turn)
                    assert_same(session.infer(images), other.infer(images))
        except BaseException as error:  # of another thread, which pytest does not see
            wrong.append(repr(error))

    shared = ee.load(folder, backend="tensorrt")
    sessions = [shared, shared, ee.load(folder, backend="tensorrt")]
    workers = [
        threading.Thread(target=work, args=pair) for pair in zip(sessions, range(3), strict=True)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for session in sessions:
        session.close()
    assert wrong == []


def test_opening_and_closing_takes_no_memory(folder: Path, random_images: RandomImages) -> None:
    import pycuda.driver as cuda

    context = cuda.Device(0).retain_primary_context()
    context.push()  # held, so that what is free can be asked for
    free = []
    for _ in range(20):
        with ee.load(folder, backend="tensorrt") as session:
            for _ in range(3):
                session.infer(random_images(4, 0))
        free.append(cuda.mem_get_info()[0])
    context.detach()
    sys.stdout.write(f"\nfree bytes after each session: {free}\n")
    # libraries take some for good at the first sessions, in steps of 2 MiB; a leak goes on
    assert free[10] - free[-1] < 4 * 2**20
