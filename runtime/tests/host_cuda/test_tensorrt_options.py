"""Ways to run the engines: the same answers, and each does what it is there for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions
from edgeexit_runtime.testing import NETWORKS, random_images
from host_driver import HostDriver
from numpy.typing import NDArray

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


class Calls:
    """How often functions of the driver were called, within ``with``."""

    def __init__(self, driver: HostDriver, *names: str) -> None:
        self._driver, self._names = driver, names
        self.made: dict[str, int] = {}

    def __enter__(self) -> dict[str, int]:
        self._before = {name: self._driver.calls(name) for name in self._names}
        return self.made

    def __exit__(self, *_: object) -> None:
        for name, before in self._before.items():
            self.made[name] = self._driver.calls(name) - before


def test_without_graphs_nothing_is_captured(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver, caplog: Any
) -> None:
    names = ("cuStreamBeginCapture", "cuGraphLaunch")
    with Calls(driver, *names) as made, open_with(graphs=False) as session:
        assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
    assert made == {"cuStreamBeginCapture": 0, "cuGraphLaunch": 0}
    assert caplog.messages == []


def test_an_end_is_asked_for_before_it_is_slept_for(
    open_with: Open, images_leaving_at: LeavingAt, driver: HostDriver
) -> None:
    names = ("cuEventQuery", "cuEventSynchronize")
    with open_with(poll_us=LONG_US) as session, Calls(driver, *names) as made:
        assert session.infer(images_leaving_at(EXITS)).exits.tolist() == EXITS
    assert made["cuEventQuery"] >= 3  # of every exit
    assert made["cuEventSynchronize"] == 0
    with open_with(poll_us=0.001) as session, Calls(driver, *names) as made:
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


@pytest.mark.parametrize("poll_us", [-1, float("nan"), 2e6])
def test_no_such_time_to_ask(poll_us: float) -> None:
    with pytest.raises(ee.InputError, match=rf"^poll_us: expected 0 to \d+, got {poll_us!r}"):
        TensorRTOptions(poll_us=poll_us)


@pytest.mark.parametrize(("option", "shared"), [(True, False), (None, True)])
def test_exits_write_where_the_host_reads(
    open_with: Open,
    images_leaving_at: LeavingAt,
    driver: HostDriver,
    option: bool | None,
    shared: bool,
) -> None:
    driver.set_integrated(shared)
    with Calls(driver, "cuMemcpyDtoHAsync") as made, open_with(map_outputs=option) as session:
        for exits in (EXITS, [0], [2, 1], [1, 1, 1]):
            assert session.infer(images_leaving_at(exits)).exits.tolist() == exits
    assert made == {"cuMemcpyDtoHAsync": 0}


@pytest.mark.parametrize(("option", "shared"), [(False, True), (None, False)])
def test_or_their_outputs_are_copied(
    open_with: Open, driver: HostDriver, option: bool | None, shared: bool
) -> None:
    driver.set_integrated(shared)
    with Calls(driver, "cuMemcpyDtoHAsync") as made, open_with(map_outputs=option):
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
    with open_with(map_images=True) as session, Calls(driver, *names) as made:
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
        with Calls(driver, "cuStreamSynchronize") as made:
            runner.set_images(others)
        assert made == {"cuStreamSynchronize": 1}
        for seed in range(20):
            images = random_images(1 + seed % 7, seed)
            want = network.expected(images, session.thresholds)
            np.testing.assert_array_equal(session.infer(images).exits, want.exits)
