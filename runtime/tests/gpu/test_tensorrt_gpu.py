"""The TensorRT backend on a real device, against ONNX Runtime on the CPU: see --engines."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
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
            name: sorted({run.context.size for run in part.runs.values() if run.graph})
            for name, part in runner._parts.items()
        }
        lines = [session.device, str(runner.versions), f"batch sizes in CUDA graphs: {captured}"]
        sys.stdout.write("\n" + "\n".join([*lines, *caplog.messages]) + "\n")


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


def test_time_of_a_call(folder: Path, random_images: RandomImages) -> None:
    with ee.load(folder, backend="tensorrt") as session:
        for size in (1, 4):
            images, times = random_images(size, 0), []
            for _ in range(300):
                begin = time.perf_counter()
                session.infer(images)
                times.append(1e6 * (time.perf_counter() - begin))
            low, middle, high = np.percentile(times[100:], [5, 50, 95])
            sys.stdout.write(f"\nbatch {size}: {low:.0f} / {middle:.0f} / {high:.0f} us (5/50/95%)")
