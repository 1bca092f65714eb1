"""Ways to run the engines: the same answers, and each does what it is there for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions
from edgeexit_runtime.testing import NETWORKS, edit_manifest, random_images
from host_driver import HostDriver
from numpy.typing import NDArray
from support.messages import refused
from tensorrt_double import World

Images = NDArray[np.float32]
LeavingAt = Callable[[list[int]], Images]
Open = Callable[..., ee.Session]
LONG_US = 1_000_000
EXITS = [2, 0, 1, 2]


@pytest.fixture
def open_with(chain_folder: Path) -> Open:
    """``open_with(poll_us=50)`` opens the bundle of a chain."""

    def open_one(**options: Any) -> ee.Session:
        return ee.load(chain_folder, backend=TensorRTBackend(TensorRTOptions(**options)))

    return open_one


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        *(
            ({"poll_us": value}, "poll_us: expected 0 to 1000000")
            for value in (-1, float("nan"), 2e6)
        ),
        *(
            ({"speculate_below": value}, "speculate_below: expected 0 to 1")
            for value in (-0.1, 1.1, float("nan"))
        ),
        ({"join_graphs": True, "graphs": False}, "join_graphs: expected graphs=True"),
    ],
)
def test_options_out_of_range(option: dict[str, Any], expected: str) -> None:
    with refused(ee.InputError, expected, f"{list(option.values())[-1]!r}"):
        TensorRTOptions(**option)


def test_without_graphs_nothing_is_captured(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver, caplog: Any
) -> None:
    names = ("cuStreamBeginCapture", "cuGraphLaunch")
    with driver.counted(*names) as made, open_with(graphs=False) as session:
        assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
    assert made == dict.fromkeys(names, 0)
    assert caplog.messages == []


def test_an_end_is_asked_for_before_it_is_slept_for(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    names = ("cuEventQuery", "cuEventSynchronize")
    with open_with(poll_us=LONG_US) as session, driver.counted(*names) as made:
        assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
    assert made["cuEventQuery"] >= 3  # of every exit
    assert made["cuEventSynchronize"] == 0
    with open_with(poll_us=0.001) as session, driver.counted(*names) as made:
        assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
    assert made["cuEventSynchronize"] == 3  # the time is over before the end


def test_an_error_while_it_is_asked_for(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    with open_with(poll_us=LONG_US) as session:
        driver.fail(1, "cuEventQuery")
        with pytest.raises(ee.BackendError, match=r"^CUDA: cuEventQuery failed"):
            session.infer(images_leaving_at(EXITS))
        assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS


@pytest.mark.parametrize(("option", "shared"), [(True, False), (None, True)])
def test_exits_write_where_the_host_reads(
    open_with: Open,
    images_leaving_at: LeavingAt,
    driver: HostDriver,
    option: bool | None,
    shared: bool,
) -> None:
    driver.set_integrated(shared)
    with driver.counted("cuMemcpyDtoHAsync") as made, open_with(map_outputs=option) as session:
        for exits in (EXITS, [0], [2, 1], [1, 1, 1]):
            assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
    assert made == {"cuMemcpyDtoHAsync": 0}


@pytest.mark.parametrize(("option", "shared"), [(False, True), (None, False)])
def test_or_their_outputs_are_copied(
    open_with: Open, driver: HostDriver, option: bool | None, shared: bool
) -> None:
    driver.set_integrated(shared)
    with driver.counted("cuMemcpyDtoHAsync") as made, open_with(map_outputs=option):
        pass
    assert made["cuMemcpyDtoHAsync"] == 2 * 3 * 3  # run and captured, of 3 exits and batch sizes


def test_thresholds_and_logits_where_exits_write_to_the_host(
    open_with: Open, images_leaving_at: LeavingAt
) -> None:
    images = images_leaving_at([2, 2, 1])
    with open_with() as plain, open_with(map_outputs=True) as session:
        for thresholds in ({"exit1": 0, "exit2": 2}, {"exit1": 2, "exit2": 0.2}):
            plain.thresholds = session.thresholds = thresholds
            got, want = session.infer(images), plain.infer(images)
            assert got.exits.tolist() == want.exits.tolist()
            np.testing.assert_array_equal(got.confidences, want.confidences)
        logits = [one.runner.logits("exit2") for one in (plain, session)]
        np.testing.assert_array_equal(*logits)


def test_images_are_read_where_the_host_puts_them(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    names = ("cuMemcpyHtoDAsync", "cuStreamSynchronize")
    with open_with(map_images=True) as session, driver.counted(*names) as made:
        for exits in (EXITS, [0], [2, 1], [1, 1, 1], [2, 0, 2, 2, 1]):
            assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
    assert made == {"cuMemcpyHtoDAsync": 0, "cuStreamSynchronize": 0}


def test_images_that_may_still_be_read_are_not_overwritten(
    write_bundle: Callable[[Any], Path], build_engines: Callable[[Path], object], driver: HostDriver
) -> None:
    """Also by a stage behind an exit that was waited for."""
    network = NETWORKS["images again"]
    folder = write_bundle(network)
    build_engines(folder)
    images, others = random_images(3, 1), random_images(2, 2)
    with ee.load(folder, backend=TensorRTBackend(TensorRTOptions(map_images=True))) as session:
        runner = session.runner
        runner.set_images(images)
        runner.run_stage("stage1")
        runner.run_exit("exit1")
        runner.run_stage("stage2")
        with driver.counted("cuStreamSynchronize") as made:
            runner.set_images(others)
        assert made == {"cuStreamSynchronize": 1}
        for seed in range(20):
            images = random_images(1 + seed % 7, seed)
            want = network.expected(images, session.thresholds)
            np.testing.assert_array_equal(session.infer(images).exits, want.exits)


@pytest.mark.parametrize("way", [{}, {"join_graphs": True}, {"map_images": True}])
def test_images_of_a_run_that_nobody_could_wait_for_are_not_overwritten(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver, way: dict[str, Any]
) -> None:
    with open_with(**way) as session:
        driver.fail(1, "cuEventSynchronize")
        with pytest.raises(ee.BackendError, match="cuEventSynchronize"):
            session.infer(images_leaving_at([2, 1]))
        for waits in (1, 0):
            with driver.counted("cuStreamSynchronize") as made:
                assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
            assert made == {"cuStreamSynchronize": waits}


@pytest.fixture
def measured(chain_folder: Path) -> Path:
    """The bundle of a chain, which says that one in ten leaves at exit1."""
    histograms = {"exit1": [1, *[0] * 9], "exit2": [9, *[0] * 9], "final": [0] * 10}
    thresholds = {"exit1": 0.6, "exit2": 0.6}
    expected = {"images": 10, "data": "d", "thresholds": thresholds, "histograms": histograms}
    edit_manifest(chain_folder, lambda manifest: manifest.update(expected=expected))
    return chain_folder


@pytest.mark.parametrize("map_images", [False, True])
def test_the_next_stage_is_begun_before_the_flags_are_read(
    measured: Path,
    open_with: Open,
    images_leaving_at: LeavingAt,
    driver: HostDriver,
    world: World,
    map_images: bool,
) -> None:
    with open_with(speculate_below=0.5, map_images=map_images) as session:
        runs = world.runs
        session.infer(images_leaving_at([0]))
        assert driver.counts().waiting == 1  # stage2, for which nobody waits
        assert world.runs == runs + 2
        with driver.counted("cuStreamSynchronize") as made:
            for index in [2, 1, 0, 0, 2, 1]:
                assert session.infer(images_leaving_at([index])).exits.tolist() == [index]
        assert made == {"cuStreamSynchronize": 0}  # nothing waits for what was in vain
        assert session.statistics().wasted_stages == 3
    with open_with(map_images=map_images) as session:
        session.infer(images_leaving_at([0]))
        assert driver.counts().waiting == 0


def test_an_error_while_a_stage_is_ahead(
    measured: Path, open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    with open_with(speculate_below=0.5) as session:
        for call in range(1, 9):
            driver.fail(call)
            with contextlib.suppress(ee.BackendError):
                session.infer(images_leaving_at([2]))
            driver.fail(0)
            for index in (2, 0, 1):
                assert session.infer(images_leaving_at([index])).exits.tolist() == [index]


def test_a_stage_and_its_exit_are_one_launch(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    with open_with(join_graphs=True) as session:
        assert driver.counts().graph_execs == (6 + 3) * 3  # of each batch size; parts go alone too
        with driver.counted("cuGraphLaunch") as made:
            assert session.infer(images_leaving_at([2, 2, 2])).exits.tolist() == [2, 2, 2]
        assert made == {"cuGraphLaunch": 3}
        for exits in (EXITS, [0], [2, 1], [1, 0, 2, 2, 1]):
            assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
        session.thresholds = {"exit1": 2, "exit2": 0.6}
        with driver.counted("cuGraphLaunch") as made:
            session.infer(images_leaving_at([2]))
        assert made == {"cuGraphLaunch": 3}  # stage1 alone


def test_where_they_cannot_be_joined_each_part_keeps_its_graph(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver, world: World
) -> None:
    captured = 0

    def on_run(stream: int, is_captured: bool) -> None:
        nonlocal captured
        captured += is_captured
        if captured == 6 * 3:  # every part is
            world.spoil_captures = 10**6

    world.on_run = on_run
    with open_with(join_graphs=True) as session:
        assert driver.counts().graph_execs == 6 * 3
        with driver.counted("cuGraphLaunch") as made:
            assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
        assert made == {"cuGraphLaunch": 6}
