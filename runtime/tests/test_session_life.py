"""What a session keeps, shares and gives back."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

Images = NDArray[np.float32]


def test_threads_may_share_a_session(
    network: Any,
    write_bundle: Callable[[Any], Path],
    random_images: Callable[[int, int], Images],
    expected: Callable[[Any, Images, Mapping[str, float]], ee.Predictions],
) -> None:
    wrong: list[str] = []

    def work(session: ee.Session, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for turn in range(30):
                images = random_images(int(rng.integers(1, 10)), 100 * seed + turn)
                got, want = session.infer(images), expected(network, images, session.thresholds)
                np.testing.assert_array_equal(got.exits, want.exits)
                np.testing.assert_array_equal(got.labels, want.labels)
                np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)
        except Exception as error:  # of another thread, which pytest does not see
            wrong.append(repr(error))

    with ee.load(write_bundle(network), threads=1) as session:
        workers = [threading.Thread(target=work, args=(session, seed)) for seed in (1, 2, 3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert wrong == []


def test_two_sessions_of_one_bundle_are_apart(
    bundle: Path, random_images: Callable[[int, int], Images]
) -> None:
    images = random_images(5, 0)
    with ee.load(bundle, threads=1) as one, ee.load(bundle, threads=1) as other:
        one.thresholds = {"exit1": 0, "exit2": 0}
        other.thresholds = {"exit1": ee.NEVER, "exit2": ee.NEVER}
        assert one.infer(images).exits.tolist() == [0] * 5
        assert other.infer(images).exits.tolist() == [2] * 5
        one.close()
        assert other.infer(images).exits.tolist() == [2] * 5


def test_closed_session_says_so(bundle: Path, random_images: Callable[[int, int], Images]) -> None:
    session = ee.load(bundle, threads=1)
    session.close()
    session.close()
    with pytest.raises(ee.InputError, match=r"^the session is closed; load the bundle again$"):
        session.infer(random_images(1, 0))
    with pytest.raises(ee.InputError, match=r"^the session is closed; load the bundle again$"):
        session.thresholds = {"exit1": 0.5, "exit2": 0.5}
    assert dict(session.thresholds) == {"exit1": 0.6, "exit2": 0.6}


def test_context_manager_closes_after_an_exception(
    bundle: Path, random_images: Callable[[int, int], Images]
) -> None:
    with pytest.raises(ZeroDivisionError), ee.load(bundle, threads=1) as session:
        raise ZeroDivisionError
    with pytest.raises(ee.InputError, match="the session is closed"):
        session.infer(random_images(1, 0))


def test_session_goes_on_after_refused_images(
    bundle: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    images = images_leaving_at([1, 0, 2])
    with ee.load(bundle, threads=1) as session:
        with pytest.raises(ee.InputError):
            session.infer(images[:, :1])
        assert session.infer(images).exits.tolist() == [1, 0, 2]


def test_repeated_inference_does_not_grow_memory(
    network: Any,
    write_bundle: Callable[[Any], Path],
    random_images: Callable[[int, int], Images],
) -> None:
    batches = [random_images(1 + seed % 9, seed) for seed in range(60)]
    with ee.load(write_bundle(network), threads=1) as session:
        for images in batches:  # every size and every pattern of leaving once
            session.infer(images)
        gc.collect()
        tracemalloc.start()
        try:
            for images in batches:
                session.infer(images)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(5):
                for images in batches:
                    session.infer(images)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert after - before < 16384, f"{after - before} bytes in {5 * len(batches)} calls"


def test_setting_thresholds_again_and_again_keeps_no_old_bindings(
    bundle: Path, random_images: Callable[[int, int], Images]
) -> None:
    images = random_images(5, 0)
    counts = []
    with ee.load(bundle, threads=1) as session:
        for _ in range(20):
            session.thresholds = {"exit1": 0.5, "exit2": 0.5}
            session.infer(images)
            gc.collect()
            counts.append(sum(type(thing) is onnxruntime.IOBinding for thing in gc.get_objects()))
    assert counts[0] > 0
    assert counts == counts[:1] * 20


def test_images_of_earlier_calls_are_let_go(
    network: Any,
    write_bundle: Callable[[Any], Path],
    random_images: Callable[[int, int], Images],
) -> None:
    alive = []
    with ee.load(write_bundle(network), threads=1) as session:
        for count in (*range(1, 10), *range(1, 10)):
            images = random_images(count, count)
            alive.append(weakref.ref(images))
            session.infer(images)
            del images
        gc.collect()
        # a graph that reads images may hold on to those that it read last
        readers = [
            name
            for name, graph in session.manifest.graphs()
            if "images" in [tensor.name for tensor in graph.inputs]
        ]
        assert sum(reference() is not None for reference in alive) <= len(readers)
