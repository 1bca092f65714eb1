"""A device that is lost: CUDA refuses everything, also to pop a context and to free memory.

What is given up then is never freed, so that every test is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

PATH = os.environ.get("PYTHONPATH", "")
START = """
import gc
import logging
import sys
import numpy as np
from host_driver import open_driver
driver = open_driver()
from tensorrt_double import World, make_module
world = World(driver)
sys.modules["tensorrt"] = make_module("tensorrt", world)
import edgeexit_runtime as ee
logging.basicConfig(stream=sys.stdout)
folder, images = sys.argv[1], np.zeros((3, 3, 4, 4), np.float32)

def load():
    return ee.load(folder, backend="tensorrt")

def lost(call):
    try:
        call()
    except ee.DeviceLostError as error:
        assert str(error).startswith("CUDA: "), error
        assert str(error).endswith("; this process has lost the device: restart it"), error
        return
    raise AssertionError("it was not told")
"""


@pytest.fixture
def run(chain_folder: Path) -> Callable[[str], str]:
    """``run(code)`` in a process of its own, which has to come to its end by itself."""

    def run_code(code: str) -> str:
        result = subprocess.run(
            [sys.executable, "-c", START + textwrap.dedent(code), str(chain_folder)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{PATH}"},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result.stdout

    return run_code


def test_the_session_is_over_and_says_so(run: Callable[[str], str]) -> None:
    said = run("""
        with load() as session:
            session.infer(images)
            driver.fail(1, "cuEventSynchronize", 700, for_good=True)
            lost(lambda: session.infer(images))
            lost(lambda: session.infer(images))
            lost(lambda: session.infer(images, deadline_ms=1000))
            lost(lambda: session.infer_all_exits(images))
            lost(session.warm_up)
            lost(lambda: session.runner.logits("exit1"))
            frees = driver.calls("cuMemFree")
        session.close()
        del session
        gc.collect()
        assert driver.calls("cuMemFree") == frees, "nothing more is tried"
    """)
    assert said.count("nothing could be freed: CUDA: cuEventSynchronize") == 1


@pytest.mark.parametrize("rounds", [0, 1])
def test_lost_at_any_call_while_running(run: Callable[[str], str], rounds: int) -> None:
    run(f"""
        calls = 0
        while True:
            session = load()
            for _ in range({rounds}):
                session.infer(images)
            calls += 1
            driver.fail(calls, for_good=True)
            try:
                session.infer(images)
            except ee.DeviceLostError:
                lost(lambda: session.infer(images))
            else:
                assert driver.failure_waits(), calls
            over = driver.failure_waits()
            session.close()
            driver.fail(0)
            driver.recover()
            if over:
                break
        assert calls > 10, calls
    """)


def test_lost_at_any_call_while_loading(run: Callable[[str], str]) -> None:
    run("""
        for calls in range(1, 1000):
            driver.fail(calls, for_good=True)
            try:
                load().close()
            except ee.BackendError as error:
                assert not driver.failure_waits()
            over = driver.failure_waits()
            driver.fail(0)
            driver.recover()
            if over:
                break
        assert 25 < calls < 999, calls
    """)


def test_lost_while_closing(run: Callable[[str], str]) -> None:
    said = run("""
        for function, call in (
            ("cuCtxPushCurrent", 1),
            ("cuCtxPushCurrent", 2),
            ("cuStreamSynchronize", 1),
            ("cuMemFree", 1),
            ("cuCtxPopCurrent", 1),
        ):
            session = load()
            session.infer(images)
            frees = driver.calls("cuMemFree")
            driver.fail(call, function, for_good=True)
            session.close()
            assert not driver.failure_waits(), function
            if function == "cuStreamSynchronize":
                assert driver.calls("cuMemFree") == frees, "nothing more is tried"
            driver.recover()
    """)
    assert said.count("nothing could be freed: CUDA: cu") >= 4


@pytest.mark.parametrize("function", ["cuCtxPushCurrent", "cuCtxPopCurrent"])
def test_a_context_that_cannot_be_pushed_or_popped_is_lost(
    run: Callable[[str], str], function: str
) -> None:
    run(f"""
        session = load()
        session.infer(images)
        driver.fail(1, "{function}", 201)
        lost(lambda: session.infer(images))
        assert not driver.failure_waits()
        copies = driver.calls("cuMemcpyHtoDAsync")
        lost(lambda: session.infer(images))
        assert driver.calls("cuMemcpyHtoDAsync") == copies, "nothing more is tried"
        session.close()
    """)


def test_an_error_that_passes_loses_nothing(run: Callable[[str], str]) -> None:
    run("""
        with load() as session:
            driver.fail(1, "cuEventSynchronize", 700)
            try:
                session.infer(images)
            except ee.DeviceLostError:
                raise
            except ee.BackendError as error:
                assert "if it happens again" in str(error)
            session.infer(images)
    """)


def test_a_thread_that_ends_behind_a_lost_device(run: Callable[[str], str]) -> None:
    """PyCUDA aborts a process whose thread ends with a context on its stack."""
    run("""
        import threading
        session = load()
        def work():
            driver.fail(1, "cuEventSynchronize", 700, for_good=True)
            lost(lambda: session.infer(images))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        lost(lambda: session.infer(images))
        session.close()
    """)
