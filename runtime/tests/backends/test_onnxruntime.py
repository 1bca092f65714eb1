"""The ONNX Runtime backend: what it refuses to load, and what it says of itself."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import onnxruntime
import pytest
from support.full_disk import full_disk
from support.messages import refused

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_what_a_session_says_of_itself(bundle: Path, backend: str) -> None:
    with ee.load(bundle, backend=backend, providers=[CPU], threads=2) as session:
        assert session.device == CPU
        assert session.threads == 2
        assert session.runner.versions == {"onnxruntime": onnxruntime.__version__}
        assert session.manifest == ee.load_manifest(bundle)
    with ee.load(bundle) as session:
        assert session.threads is None


def test_profile_that_cannot_be_kept(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime says nothing of a full disk: its file is cut short."""
    facts = ("stage1.onnx", "profile", "room", "TMPDIR")
    with ee.load(bundle, backend="onnxruntime", threads=1) as session:
        with full_disk(room=100), refused(ee.BackendError, *facts):
            session.runner.computed_in()
        assert session.runner.computed_in() == "fp32 3"
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        with refused(ee.BackendError, *facts):
            session.runner.computed_in()


def test_provider_that_is_not_in_this_onnxruntime(bundle: Path) -> None:
    facts = ("providers", "AbacusProvider", *onnxruntime.get_available_providers())
    for load in (ee.load, ee.load_baseline):
        with refused(ee.BackendError, *facts):
            load(bundle, providers=["AbacusProvider", CPU])
    with refused(ee.BackendError, *facts):
        ee.load(bundle, providers=[CPU, "AbacusProvider"])


@pytest.mark.parametrize(
    ("providers", "kind", "facts"),
    [
        ([], ee.BackendError, ("providers: expected at least one of", CPU)),
        (CUDA, ee.InputError, ("providers", "list", f"['{CPU}']", f"'{CUDA}'")),
    ],
)
def test_providers_that_are_none_or_no_list(
    bundle: Path, providers: Any, kind: type[Exception], facts: tuple[str, ...]
) -> None:
    with refused(kind, *facts):
        ee.load(bundle, providers=providers)


@pytest.fixture
def broken_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An onnxruntime with GPU providers that do not start: it goes on with the CPU."""
    session = onnxruntime.InferenceSession

    def make(
        content: bytes, options: Any, providers: list[tuple[str, dict[str, str]]], **more: Any
    ) -> Any:
        return session(content, options, providers=[CPU] if CPU in dict(providers) else [], **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", make)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])


@pytest.mark.usefixtures("broken_gpu")
@pytest.mark.parametrize(
    ("providers", "facts"),
    [
        ([CUDA, CPU], (CUDA, "did not start", "driver or library")),
        ([CPU, CUDA], (CUDA, "did not start", "driver or library")),
        ([TENSORRT, CUDA, CPU], (TENSORRT, "did not start", "driver or library")),
        ([CUDA], ("stage1.onnx", CUDA, "did not start", "nodes", CPU)),
        ([TENSORRT, CUDA], ("stage1.onnx", TENSORRT, "did not start", "nodes", CPU)),
    ],
)
def test_provider_that_was_asked_for_and_does_not_start(
    bundle: Path, providers: list[str], facts: tuple[str, ...]
) -> None:
    with refused(ee.BackendError, *facts):
        ee.load(bundle, providers=providers)


@pytest.mark.usefixtures("broken_gpu")
def test_provider_that_was_not_asked_for_and_does_not_start(
    bundle: Path,
    caplog: pytest.LogCaptureFixture,
    images_leaving_at: Callable[[list[int]], Any],
) -> None:
    with caplog.at_level(logging.WARNING), ee.load(bundle, threads=1) as session:
        assert session.device == CPU
        assert session.infer(images_leaving_at([1])).exits.tolist() == [1]
    assert caplog.messages == [f"{CUDA} did not start, running on {CPU}"]
