"""What a TensorRT session takes and gives back, also when something fails in the middle."""

from __future__ import annotations

import dataclasses
import gc
import logging
import re
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pycuda.driver as cuda
import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions
from edgeexit_runtime.backends.buffer_plan import plan_buffers
from edgeexit_runtime.backends.cuda.context import PrimaryContext
from edgeexit_runtime.backends.cuda.memory import available_memory, require_free_memory
from edgeexit_runtime.backends.tensorrt.runs.captures import CAPTURES
from edgeexit_runtime.backends.tensorrt.runs.gate import GatePlan
from host_driver import HostDriver
from numpy.typing import NDArray
from tensorrt_double import World

Images = NDArray[np.float32]
RandomImages = Callable[[int, int], Images]
LeavingAt = Callable[[list[int]], Images]
Build = Callable[..., dict[str, Any]]
EXITS = [2, 0, 1, 2]
FOR_EVER = 10**6
ALL_RUNS = 6 * 3  # of every part, over batches of 1, 2 and 4


@pytest.fixture
def folder(bundle: Path, build_engines: Build) -> Path:
    """The bundle of ``chain``, with engines."""
    build_engines(bundle)
    return bundle


def test_memory_is_what_was_planned(folder: Path, driver: HostDriver) -> None:
    manifest = ee.load_manifest(folder)
    planned = plan_buffers(manifest).size_bytes + GatePlan(manifest).size_bytes
    with ee.load(folder, backend="tensorrt"):
        # six engines with weights of 3000 bytes share the scratch memory of the largest
        assert driver.counts().device_bytes == planned + 6 * 3000 + 2000


def test_outputs_of_large_batches_are_apart(folder: Path) -> None:
    manifest = dataclasses.replace(ee.load_manifest(folder), max_batch=1000)
    plan = GatePlan(manifest)
    sizes = {"threshold": 4, "confidence": 4000, "label": 4000, "exits": 1000, "logits": 12000}
    spans = sorted(
        (begin, begin + sizes[name])
        for exit_ in manifest.exit_names
        for name, begin in plan.addresses(exit_).items()
    )
    assert len(spans) == 3 * 5
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
    assert spans[-1][1] <= plan.size_bytes


@pytest.mark.parametrize("library", ["tensorrt", "tensorrt-rtx"])
def test_no_call_is_the_first_of_its_kind(
    bundle: Path,
    build_engines: Build,
    random_images: RandomImages,
    driver: HostDriver,
    world: World,
    library: str,
) -> None:
    build_engines(bundle, library)
    with ee.load(bundle, backend="tensorrt") as session:
        compiled, before = world.compiled, driver.counts()
        assert before.device_allocations > 0
        with driver.counted("cuStreamBeginCapture") as made:
            for size in (4, 3, 2, 1, 9) * 8:
                session.infer(random_images(size, size))
        assert made == {"cuStreamBeginCapture": 0}
        assert driver.counts() == before
        assert world.compiled == compiled == ALL_RUNS


@pytest.fixture
def rtx_folder(bundle: Path, build_engines: Build) -> Path:
    build_engines(bundle, "tensorrt-rtx")
    return bundle


def compiled_by_a_load(folder: Path, world: World) -> int:
    before = world.compiled
    ee.load(folder, backend="tensorrt").close()
    return world.compiled - before


def test_what_was_compiled_once_is_kept_in_the_bundle(rtx_folder: Path, world: World) -> None:
    assert compiled_by_a_load(rtx_folder, world) == ALL_RUNS
    cache = rtx_folder / "runtime.cache"
    written = cache.stat().st_mtime_ns
    assert compiled_by_a_load(rtx_folder, world) == 0
    assert cache.stat().st_mtime_ns == written, "there was no news"
    cache.write_bytes(b"of another GPU")
    assert compiled_by_a_load(rtx_folder, world) == ALL_RUNS
    assert compiled_by_a_load(rtx_folder, world) == 0


def test_a_cache_that_cannot_be_kept_is_done_without(rtx_folder: Path, world: World) -> None:
    (rtx_folder / "runtime.cache").mkdir()
    assert compiled_by_a_load(rtx_folder, world) == ALL_RUNS
    assert compiled_by_a_load(rtx_folder, world) == ALL_RUNS


def test_closing_in_another_thread(folder: Path, images_leaving_at: LeavingAt) -> None:
    sessions: list[ee.Session] = []
    opener = threading.Thread(target=lambda: sessions.append(ee.load(folder, backend="tensorrt")))
    opener.start()
    opener.join()
    assert sessions[0].infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
    closer = threading.Thread(target=sessions[0].close)
    closer.start()
    closer.join()


def test_closing_while_work_waits(
    folder: Path, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    with ee.load(folder, backend="tensorrt") as session:
        session.runner.set_images(images_leaving_at(EXITS))
        session.runner.run_stage("stage1")
        assert driver.counts().waiting > 0


def test_a_thread_keeps_its_own_context(
    folder: Path, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    cuda.init()
    own = cuda.Device(0).make_context()
    try:
        device = cuda.mem_alloc(4)
        with ee.load(folder, backend="tensorrt") as session:
            for _ in range(3):
                assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
                assert cuda.Context.get_current() == own
                assert driver.depth() == 1
                cuda.memcpy_htod(device, np.zeros(4, np.uint8))
        assert cuda.Context.get_current() == own
        device.free()
    finally:
        own.pop()
        own.push()
        own.detach()


ALL_OPTIONS = {"join_graphs": True, "map_outputs": True, "map_images": True}


@pytest.mark.parametrize(
    ("library", "options", "stride"),
    [("tensorrt", {}, 1), ("tensorrt-rtx", {}, 1), ("tensorrt", ALL_OPTIONS, 7)],
    ids=["tensorrt", "rtx", "all options"],
)
def test_every_call_of_the_driver_fails_once_while_loading(
    bundle: Path,
    build_engines: Build,
    driver: HostDriver,
    world: World,
    library: str,
    options: dict[str, Any],
    stride: int,
) -> None:
    build_engines(bundle, library)
    before, call, survived = driver.counts(), 0, 0
    while True:
        call += stride
        driver.fail(call)
        error = None
        try:
            ee.load(bundle, backend=TensorRTBackend(TensorRTOptions(**options))).close()
        except ee.BackendError as failure:
            error = failure
        if driver.failure_waits():
            break
        assert "\n" not in str(error)
        assert driver.depth() == 0
        # with the error still held, whose frames saw it all
        assert driver.counts() == before, f"left behind by call {call}: {error}"
        assert world.alive == {"runtime": 0, "engine": 0, "context": 0}
        survived += error is None
    driver.fail(0)
    assert call > 100  # that may fail
    if not options:  # four calls of each capture, the copy of those that are gated, the last wait
        assert survived == 4 * ALL_RUNS + ALL_RUNS // 2 + 1


def test_every_call_of_the_driver_fails_once_while_running(
    folder: Path, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    images, errors = images_leaving_at(EXITS), 0
    for graphs in (True, False):
        call, survived = 0, False
        while not survived:
            call += 1
            backend = TensorRTBackend(TensorRTOptions(graphs=graphs))
            with ee.load(folder, backend=backend) as session:
                driver.fail(call)
                try:
                    session.infer(images)
                except ee.BackendError:
                    errors += 1
                survived = driver.failure_waits()
                driver.fail(0)
                for _ in range(4):
                    assert session.infer(images).exits.tolist() == EXITS
    assert errors > 30


@pytest.mark.parametrize("graphs", [True, False])
def test_an_interrupt_may_come_at_any_line(
    folder: Path,
    images_leaving_at: LeavingAt,
    driver: HostDriver,
    fail_at: Callable[..., Any],
    graphs: bool,
) -> None:
    """But while a context is pushed or popped: then this thread keeps it."""
    images = images_leaving_at(EXITS)
    backend = TensorRTBackend(TensorRTOptions(graphs=graphs))
    for step in range(10**6):
        with ee.load(folder, backend=backend) as session:
            failure = fail_at(KeyboardInterrupt(), step, but="context.py")
            try:
                with failure:
                    session.infer(images)
            except KeyboardInterrupt as error:
                assert failure.has_come
                error.__traceback__ = None  # whose frames hold engines
            for _ in range(4):
                assert session.infer(images).exits.tolist() == EXITS
            assert driver.depth() == 0
        if not failure.has_come:
            assert step > 100
            return


def test_tensorrt_refuses_a_run(folder: Path, images_leaving_at: LeavingAt, world: World) -> None:
    images = images_leaving_at(EXITS)
    message = (
        r"^(stage|exit|final).*\.engine: cannot be run over a batch of \d: refused as the test "
        "wants it; build the engines again$"
    )
    world.can_capture = False  # else it is not asked
    for n in range(1, 7):
        with ee.load(folder, backend="tensorrt") as session:
            world.refuse_in = n
            with pytest.raises(ee.BackendError, match=message):
                session.infer(images)
            for _ in range(4):
                assert session.infer(images).exits.tolist() == EXITS


EACH = 1 + 2 * CAPTURES  # a run is enqueued once plainly, and again after every capture


@pytest.mark.parametrize(
    ("refusal", "number", "message"),
    [
        *(
            ("refuse_in", n, "cannot be run over a batch of")
            for n in (1, EACH * (ALL_RUNS - 1) + 1)
        ),
        *(("refuse_shape_in", n, "refuses a batch of") for n in (1, 2, 3, ALL_RUNS)),
    ],
)
def test_tensorrt_refuses_while_loading(
    folder: Path, world: World, refusal: str, number: int, message: str
) -> None:
    world.can_capture = False
    setattr(world, refusal, number)
    with pytest.raises(ee.BackendError, match=rf"^(stage|exit|final).*\.engine: {message} \d: "):
        ee.load(folder, backend="tensorrt")


@pytest.mark.parametrize("library", ["tensorrt", "tensorrt-rtx"])
def test_without_graphs_runs_are_enqueued_and_it_is_said_once(
    bundle: Path,
    build_engines: Build,
    images_leaving_at: LeavingAt,
    world: World,
    driver: HostDriver,
    caplog: pytest.LogCaptureFixture,
    library: str,
) -> None:
    build_engines(bundle, library)
    world.can_capture = False
    captures = driver.calls("cuStreamBeginCapture")
    with caplog.at_level(logging.WARNING), ee.load(bundle, backend="tensorrt") as session:
        if library == "tensorrt-rtx":  # which says so itself
            assert driver.calls("cuStreamBeginCapture") == captures
        for _ in range(4):
            assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
        assert driver.counts().graphs == driver.counts().graph_execs == 0
    said = [message for message in caplog.messages if "CUDA graph" in message]
    assert len(said) == 1
    assert said[0].startswith("no CUDA graph, runs are enqueued one by one: ")


@pytest.mark.parametrize("spoiled", [1, 2])
def test_a_capture_that_another_thread_spoiled_is_tried_again(
    folder: Path,
    world: World,
    driver: HostDriver,
    caplog: pytest.LogCaptureFixture,
    spoiled: int,
) -> None:
    world.spoil_captures = spoiled
    with caplog.at_level(logging.WARNING), ee.load(folder, backend="tensorrt"):
        assert driver.counts().graph_execs == ALL_RUNS
    assert not [message for message in caplog.messages if "CUDA graph" in message]


def test_a_capture_is_not_tried_for_ever_and_never_while_running(
    folder: Path, images_leaving_at: LeavingAt, world: World, driver: HostDriver
) -> None:
    world.spoil_captures = FOR_EVER
    before = driver.calls("cuStreamBeginCapture")
    with ee.load(folder, backend="tensorrt") as session:
        captures = driver.calls("cuStreamBeginCapture")
        assert captures - before == CAPTURES * ALL_RUNS
        for _ in range(6):
            assert session.infer(images_leaving_at([2, 2])).exits.tolist() == [2, 2]
        assert driver.calls("cuStreamBeginCapture") == captures
        assert driver.counts().graph_execs == 0


def test_two_sessions_never_load_at_the_same_time(folder: Path, world: World) -> None:
    """A library waits for the whole device when it loads, which spoils the captures of another."""
    order: list[int] = []

    def on_run(stream: int, captured: bool) -> None:
        order.append(threading.get_ident())
        time.sleep(0.001)

    def load() -> None:
        ee.load(folder, backend="tensorrt").close()

    world.on_run = on_run
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(order) == 3 * 2 * ALL_RUNS
    assert sum(one != other for one, other in pairwise(order)) == 2


def test_garbage_that_would_spoil_a_capture_is_freed_before(
    folder: Path, world: World, driver: HostDriver
) -> None:
    class Garbage:
        def __init__(self, stream: int) -> None:
            self.itself, self.stream = self, stream

        def __del__(self) -> None:
            driver.break_capture(self.stream)

    def on_run(stream: int, captured: bool) -> None:
        if captured:
            gc.collect(0)
        else:
            Garbage(stream)

    world.on_run = on_run
    with ee.load(folder, backend="tensorrt"):
        assert driver.counts().graph_execs == ALL_RUNS
    world.on_run = lambda stream, captured: None
    gc.collect()


def test_too_little_memory_is_said_before_any_is_taken(
    folder: Path, driver: HostDriver, build_engines: Build
) -> None:
    allocations = driver.calls("cuMemAlloc")
    driver.set_total_memory(4000)
    message = (
        "engines and features: needs 0.0 MiB of device memory, 0.0 of 0.0 MiB are free; close "
        "what else uses the device, or export the bundle with a smaller --max-batch"
    )
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
        ee.load(folder, backend="tensorrt")
    assert driver.calls("cuMemAlloc") == allocations

    build_engines(folder, scratch_bytes=5 * 2**20)
    driver.set_total_memory(2**20)
    message = "features and scratch memory: needs 5.0 MiB of device memory, 1.0 of 1.0 MiB are free"
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}"):
        ee.load(folder, backend="tensorrt")


def test_as_much_memory_as_is_free_is_enough(driver: HostDriver) -> None:
    context = PrimaryContext()
    with context:
        require_free_memory(2**30, "features")
        with pytest.raises(ee.BackendError, match=r"^features: needs 1024\.0 MiB"):
            require_free_memory(2**30 + 1, "features")
    context.release()


def test_memory_that_is_gone_all_the_same_says_what_to_do(folder: Path, driver: HostDriver) -> None:
    """What Linux says can be had is an estimate; here there is no more than the weights take."""
    driver.set_integrated(True)
    driver.set_total_memory(6 * 3000 + 100)
    message = r"^the device is out of memory \(.*\); close .* smaller --max-batch$"
    with pytest.raises(ee.BackendError, match=message):
        ee.load(folder, backend="tensorrt")


def test_only_on_shared_memory_what_the_page_cache_has_can_be_had(
    folder: Path, driver: HostDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.set_cached_memory(2**30)
    with pytest.raises(ee.BackendError, match=r"0\.0 of 1024\.0 MiB are free"):
        ee.load(folder, backend="tensorrt")
    driver.set_integrated(True)
    ee.load(folder, backend="tensorrt").close()
    assert caplog.messages == []


def test_on_shared_memory_too_little_is_a_warning(
    folder: Path,
    driver: HostDriver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemFree:             1 kB\nMemAvailable:        2 kB\n")
    monkeypatch.setattr("edgeexit_runtime.backends.cuda.memory.MEMINFO", meminfo)
    driver.set_integrated(True)
    driver.set_cached_memory(2**30)
    ee.load(folder, backend="tensorrt").close()
    engines, features = caplog.messages
    assert engines.startswith("engines and features: needs ")
    assert features.startswith("features and scratch memory: needs ")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("MemFree: 1 kB\nMemAvailable:   305 kB\nSwap: 7 kB\n", 305 * 1024), ("", 0), (None, 0)],
)
def test_memory_that_linux_says_is_to_be_had(
    tmp_path: Path, text: str | None, size_bytes: int
) -> None:
    meminfo = tmp_path / "meminfo"
    if text is not None:
        meminfo.write_text(text)
    assert available_memory(meminfo) == size_bytes
