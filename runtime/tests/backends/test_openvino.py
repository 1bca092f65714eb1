"""The OpenVINO backend: what is its own; what it does as every other is test_conformance.py's."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest

openvino = pytest.importorskip("openvino")

WITHOUT_ONNX_RUNTIME = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
import edgeexit_runtime as ee
with ee.load(sys.argv[1]) as session:
    print(session.device)
"""

LOADED_AGAIN = """
import gc, os, signal, sys, threading
import edgeexit_runtime as ee

sessions = [ee.load(sys.argv[1], backend="openvino")]

def load_again():
    sessions.append(ee.load(sys.argv[1], backend="openvino"))
    sessions.pop(0).close()

thread = threading.Thread(target=load_again)
thread.start()
thread.join()
gc.collect()
signal.signal(signal.SIGTERM, lambda number, frame: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize("device", [None, "CPU", "cpu"])
def test_what_a_session_says_of_itself(bundle: Path, device: str | None) -> None:
    with ee.load(bundle, backend="openvino", device=device, threads=2) as session:
        assert session.device == "OpenVINO CPU"
        assert session.threads == 2
        versions = session.runner.versions
        assert openvino.get_version().startswith(versions["openvino"])
        assert session.runner.computed_in() == "fp32 3", "the classifiers"


def test_a_device_that_is_not_here(bundle: Path) -> None:
    with pytest.raises(ee.BackendError, match=r"^device: .*finds here \(.*CPU.*got GPU\.99"):
        ee.load(bundle, backend="openvino", device="gpu.99")


def test_it_is_taken_where_onnx_runtime_is_not_installed(bundle: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_ONNX_RUNTIME, str(bundle)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "OpenVINO CPU"


def test_a_signal_is_handled_after_a_bundle_was_loaded_again(bundle: Path) -> None:
    """As a service does, in a thread: the CPU plugin frees the stack that it set for signals."""
    command = [sys.executable, "-c", LOADED_AGAIN, str(bundle)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr


def test_importing_it_tells_nobody(bundle: Path, tmp_path: Path) -> None:
    """Its package would, and keeps an identifier in the home folder for that."""
    home = tmp_path / "home"
    home.mkdir()
    code = WITHOUT_ONNX_RUNTIME + "print([n for n in sys.modules if 'openvino_telemetry' in n])\n"
    result = subprocess.run(
        [sys.executable, "-c", code, str(bundle)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(home)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["OpenVINO CPU", "[]"]
    assert list(home.iterdir()) == []


def test_a_bundle_of_one_image_at_a_time(
    chain: Any,
    write_bundle: Callable[[Any], Path],
    random_images: Any,
    expected: Any,
) -> None:
    """Its graphs are compiled for that one size."""
    network = dataclasses.replace(chain, max_batch=1)
    images = random_images(7, 0)
    with ee.load(write_bundle(network), backend="openvino", threads=1) as session:
        for part in session.runner._parts.values():  # type: ignore[attr-defined]
            assert part.model.inputs[0].get_partial_shape().is_static
        got, want = session.infer(images), expected(network, images, session.thresholds)
    np.testing.assert_array_equal(got.exits, want.exits)
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)


def test_features_that_do_not_fit_into_memory(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeexit_runtime.backends.openvino import runner

    plan = runner.plan_buffers

    def huge(manifest: Any) -> Any:
        return dataclasses.replace(plan(manifest), size_bytes=2**60)

    monkeypatch.setattr(runner, "plan_buffers", huge)
    with pytest.raises(ee.BackendError, match=rf"^the features of 4 images, {2**60} bytes, do not"):
        ee.load(bundle, backend="openvino")


def test_nothing_is_written(
    bundle: Path, random_images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = sorted(bundle.iterdir())
    with ee.load(bundle, backend="openvino", threads=1) as session:
        session.infer(random_images(5, 0))
    assert sorted(bundle.iterdir()) == before
    assert list(work.iterdir()) == []
