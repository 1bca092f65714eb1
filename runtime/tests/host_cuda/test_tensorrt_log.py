"""Who is told what TensorRT says: it keeps the first logger of the process and no other."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends.tensorrt.log import Reasons, process_log
from edgeexit_runtime.backends.tensorrt.runtime import EngineRuntime
from edgeexit_runtime.backends.tensorrt.versions import open_library
from numpy.typing import NDArray
from tensorrt_double import World

LeavingAt = Callable[[list[int]], NDArray[np.float32]]
REFUSED = r"^stage1\.engine: cannot be run over a batch of 2: refused as the test wants it; "


def test_an_error_is_told_to_the_session_that_has_it(
    chain_folder: Path, images_leaving_at: LeavingAt, world: World
) -> None:
    """Also behind a closed session, whose logger TensorRT keeps."""
    world.can_capture = False  # else it is not asked to run
    ee.load(chain_folder, backend="tensorrt").close()
    gc.collect()
    sessions = [ee.load(chain_folder, backend="tensorrt") for _ in range(3)]
    for session in sessions:
        world.refuse_in = 1
        with pytest.raises(ee.BackendError, match=REFUSED):
            session.infer(images_leaving_at([2, 2]))
    for session in sessions:
        session.close()
    assert world.failures == []


def test_a_failure_has_the_last_reason_once(log: Any, tmp_path: Path) -> None:
    runtime = EngineRuntime(open_library("tensorrt"), tmp_path)
    with runtime.reasons:
        log.log(log.ERROR, "of something before")
        log.log(log.ERROR, "of this")
    assert str(runtime.failed("one")) == "one: of this; build the engines again"
    assert "it does not say why" in str(runtime.failed("another"))
    runtime.close()


@pytest.fixture
def log(world: World) -> Any:
    """The logger that TensorRT has, made anew for the double of this test."""
    return process_log(sys.modules["tensorrt"])


def reasons() -> Reasons:
    return Reasons(logging.getLogger("of the test"), logging.INFO)


def test_the_innermost_caller_of_the_thread_is_told(log: Any) -> None:
    outer, inner, other = reasons(), reasons(), reasons()
    with outer:
        log.log(log.ERROR, "1")
        with inner:
            log.log(log.INTERNAL_ERROR, " 2\n of two lines")

            def work() -> None:
                with other:
                    log.log(log.ERROR, "3")

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        log.log(log.ERROR, "4")
    assert list(outer.errors) == ["1", "4"]
    assert list(inner.errors) == ["2 of two lines"]
    assert list(other.errors) == ["3"]


def in_a_thread_of_tensorrt(log: Any, text: str) -> None:
    thread = threading.Thread(target=log.log, args=(log.ERROR, text))
    thread.start()
    thread.join()


def test_a_thread_of_tensorrt_works_for_the_only_caller(
    log: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = reasons(), reasons()
    with first:
        in_a_thread_of_tensorrt(log, "of the first")
        with second:
            in_a_thread_of_tensorrt(log, "of either")
    in_a_thread_of_tensorrt(log, "of nobody")
    assert (list(first.errors), list(second.errors)) == (["of the first"], [])
    assert caplog.messages == ["of either", "of nobody"]


def test_warnings_go_where_the_caller_wants_them(
    log: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), reasons() as told:
        log.log(log.WARNING, "a warning")
        log.log(log.INFO, "nothing of interest")
    assert caplog.record_tuples == [("of the test", logging.INFO, "a warning")]
    assert not told.errors


def test_an_interrupt_does_not_pass_through_tensorrt(
    log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Reasons, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Reasons, "add_error", interrupt)
    with reasons() as told:
        log.log(log.ERROR, "while Ctrl-C comes")
    assert told.cancelled
