"""A call that fails anywhere leaves the session as it was, or closed: never with wrong answers."""

from __future__ import annotations

import functools
import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnxruntime
import pytest
from edgeexit_runtime.testing import CHAIN, Network, random_images, replace_graph, write_bundle
from edgeexit_runtime.testing.conformance.failures import CALLS, THRESHOLDS, changed_by, spoiled
from edgeexit_runtime.testing.conformance.support import assert_same


def check_answers(session: ee.Session, network: Network) -> None:
    """The session answers as the network does at the thresholds that the session says it has."""
    for count in (4, 1, 3):
        images = random_images(count, count)
        assert_same(session.infer(images), network.expected(images, session.thresholds))


# failures at any moment


@pytest.fixture
def quick_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ONNX Runtime has loaded once it does not load again; it keeps no state of a call."""
    make = onnxruntime.InferenceSession
    keep = functools.cache(lambda content: make(content, providers=["CPUExecutionProvider"]))
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda content, *_, **__: keep(content))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_loads")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_may_fail_at_any_line(
    call: str,
    error: type[BaseException],
    fail_at: Callable[[BaseException, int], Any],
    bundle: Path,
) -> None:
    """Each is the first call of a session, so that its buffers have to grow."""
    for step in range(10**6):
        session = ee.load(bundle, threads=1)
        failure = fail_at(error(), step)
        try:
            with failure:
                CALLS[call](session, random_images(4, 0))
        except (error, ee.BackendError):
            assert failure.has_come
        try:
            check_answers(session, CHAIN)
        except ee.InputError:
            assert call == "thresholds"
            with pytest.raises(ee.InputError, match="the session is closed"):
                session.infer(random_images(1, 0))
        if not failure.has_come:
            assert step > 10
            return


@pytest.mark.parametrize("error", [MemoryError("std::bad_alloc"), RuntimeError("no room\nat x.cc")])
def test_memory_may_end_at_any_buffer(
    error: Exception, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocate = onnxruntime.OrtValue.ortvalue_from_shape_and_type
    made, allowed = 0, 10**6

    def run_out(*arguments: Any) -> Any:
        nonlocal made
        made += 1
        if made > allowed:
            raise error
        return allocate(*arguments)

    folder = write_bundle(tmp_path, network)
    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", run_out)
    with ee.load(folder, threads=1) as session:
        made = 0
        session.infer(random_images(4, 0))
        buffers = made
    with ee.load(folder, threads=1) as session:
        for allowed in range(buffers):
            made = 0
            with pytest.raises(ee.BackendError) as told:
                session.infer(random_images(4, 0))
            assert re.fullmatch(
                r"the features of 4 images do not fit into this device's memory "
                r"\((std::bad_alloc|no room)\); infer fewer at once, or free memory",
                str(told.value),
            )
            one = random_images(1, allowed)
            want = network.expected(one, session.thresholds)
            assert session.infer(one).labels.tolist() == want.labels.tolist()
        allowed = 10**6
        check_answers(session, network)


def test_a_threshold_that_is_not_taken_closes_the_session(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One exit has its new threshold then, the other its old one."""
    session = ee.load(bundle, threads=1)
    take = session.runner.set_threshold

    def fail_at_the_second(name: str, threshold: float) -> None:
        if name == "exit2":
            raise KeyboardInterrupt
        take(name, threshold)

    monkeypatch.setattr(session.runner, "set_threshold", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        session.thresholds = THRESHOLDS
    with pytest.raises(ee.InputError, match="the session is closed"):
        session.infer(random_images(1, 0))


def test_context_manager_closes_after_an_exception(bundle: Path) -> None:
    with pytest.raises(ZeroDivisionError), ee.load(bundle, threads=1) as session:
        raise ZeroDivisionError
    with pytest.raises(ee.InputError, match="the session is closed"):
        session.infer(random_images(1, 0))


def test_setting_thresholds_again_and_again_keeps_no_old_bindings(bundle: Path) -> None:
    images = random_images(5, 0)
    counts = []
    with ee.load(bundle, threads=1) as session:
        for _ in range(4):
            session.thresholds = {"exit1": 0.5, "exit2": 0.5}
            session.infer(images)
            gc.collect()
            counts.append(sum(type(thing) is onnxruntime.IOBinding for thing in gc.get_objects()))
    assert counts[0] > 0
    assert counts == counts[:1] * 4


# graphs that fail, and answers that cannot be


def test_the_answer_that_a_deadline_needs_is_checked(bundle: Path) -> None:
    """That of an exit which is off."""
    content = (bundle / "exit1.onnx").read_bytes()
    change = changed_by("Add", np.float32("nan"))
    replace_graph(bundle, "exit1", spoiled(content, "confidence", change))
    with ee.load(bundle, threads=1) as session:
        session.thresholds = {"exit1": ee.NEVER, "exit2": 0.5}
        session.warm_up(runs=1)
        with pytest.raises(ee.BackendError, match=r"^exit1: expected confidences of 0 to 1"):
            session.infer(random_images(1, 0), deadline_ms=1e-6)
