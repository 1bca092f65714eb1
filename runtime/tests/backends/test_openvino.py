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
import pytest
from edgeexit_runtime.testing.conformance.support import assert_same

openvino = pytest.importorskip("openvino")

WITHOUT_ONNX_RUNTIME = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
import edgeexit_runtime as ee, numpy as np
with ee.load(sys.argv[1]) as session:
    session.infer(np.zeros((5, 3, 4, 4), np.float32))
    print(session.device, [name for name in sys.modules if "openvino_telemetry" in name])
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


def run(code: str, *arguments: object, **more: Any) -> str:
    """Run ``code`` in a process of its own; return what it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, **more}
    result = subprocess.run(command, check=False, **options)
    assert result.returncode == 0, result.stderr
    printed: str = result.stdout
    return printed


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


def test_without_onnx_runtime_it_is_taken_and_leaves_no_trace(bundle: Path, tmp_path: Path) -> None:
    """Its package would tell its maker, and keep an identifier in the home folder for that."""
    home = tmp_path / "home"
    home.mkdir()
    before = sorted(bundle.iterdir())
    env = {**os.environ, "HOME": str(home)}
    assert run(WITHOUT_ONNX_RUNTIME, bundle, env=env, cwd=home) == "OpenVINO CPU []\n"
    assert list(home.iterdir()) == []
    assert sorted(bundle.iterdir()) == before


def test_a_signal_is_handled_after_a_bundle_was_loaded_again(bundle: Path) -> None:
    """As a service does, in a thread: the CPU plugin frees the stack that it set for signals."""
    assert run(LOADED_AGAIN, bundle) == "handled\n"


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
    assert_same(got, want)


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
