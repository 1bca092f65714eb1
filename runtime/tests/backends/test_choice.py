"""How a backend is chosen: by its name, by the options, and by what can run a bundle here."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime import backends
from edgeexit_runtime.backends import BACKENDS, choose_backend, install_hint
from edgeexit_runtime.backends.base import Backend, LoadOptions, Runner, WhyNot
from edgeexit_runtime.bundle.folder import Bundle, open_bundle
from support.hardware import place_gpu
from support.messages import refused


class Abacus(Backend):
    """A backend of the test's own."""

    name = "abacus"
    modules = ("beads",)
    install = "pip install beads"
    devices = ("Desk", "cuda")

    def __init__(self, why_not: WhyNot | None = None) -> None:
        self.answer = why_not

    def why_not(self, bundle: Bundle) -> WhyNot | None:
        return self.answer

    def open(self, bundle: Bundle, options: LoadOptions) -> Runner:
        raise ee.BackendError(f"opened with {options}")


def try_first(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    monkeypatch.setattr(backends, "BACKENDS", {backend.name: backend, **BACKENDS})


def test_the_first_that_can_run_it_is_taken(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_bundle(bundle)
    assert choose_backend(opened, LoadOptions()).name == "onnxruntime", "there are no engines"
    try_first(monkeypatch, Abacus())
    assert choose_backend(opened, LoadOptions()).name == "abacus"
    try_first(monkeypatch, Abacus(WhyNot("no beads here")))
    assert choose_backend(opened, LoadOptions()).name == "onnxruntime"


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (LoadOptions(device="desk"), "abacus"),
        (LoadOptions(device="CPU"), "onnxruntime"),
        (LoadOptions(providers=["CPUExecutionProvider"]), "onnxruntime"),
        (LoadOptions(threads=3), "abacus"),
    ],
)
def test_the_options_decide_who_is_asked(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, options: LoadOptions, chosen: str
) -> None:
    try_first(monkeypatch, Abacus())
    assert choose_backend(open_bundle(bundle), options).name == chosen


@pytest.mark.parametrize("is_surprising", [True, False])
def test_what_a_bundle_was_prepared_for_is_missed(
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_surprising: bool,
) -> None:
    try_first(monkeypatch, Abacus(WhyNot("beads are not installed", is_surprising)))
    with caplog.at_level(logging.WARNING):
        choose_backend(open_bundle(bundle), LoadOptions())
    said = [f"{bundle}: abacus is not used: beads are not installed"]
    assert caplog.messages == (said if is_surprising else [])


def test_none_can_run_it(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "BACKENDS", {"abacus": Abacus(WhyNot("no beads here"))})
    with pytest.raises(ee.BackendError, match=r"^no backend can run it.*abacus: no beads here$"):
        ee.load(bundle)


@pytest.mark.parametrize(
    "options",
    [{"device": "sundial"}, {"device": "cpu", "providers": ["CPUExecutionProvider"]}],
)
def test_options_that_no_backend_takes(bundle: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ee.InputError, match=r"no backend takes these .*devices are cuda, cpu"):
        ee.load(bundle, **options)


@pytest.mark.parametrize(
    ("backend", "options", "facts"),
    [
        ("tensorrt", {"providers": ["X"]}, ("providers", "tensorrt has none", "['X']")),
        ("tensorrt", {"device": "cpu"}, ("device", "tensorrt has cuda", "'cpu'")),
        ("onnxruntime", {"device": "npu"}, ("device", "onnxruntime has cpu, cuda", "'npu'")),
        ("onnxruntime", {"device": 0}, ("device", "onnxruntime has cpu, cuda", "got 0")),
        (
            "onnxruntime",
            {"device": "cpu", "providers": ["X"]},
            ("providers, device", "one of them", "['X']", "'cpu'"),
        ),
    ],
)
def test_options_that_a_backend_does_not_have(
    bundle: Path, backend: str, options: dict[str, Any], facts: tuple[str, ...]
) -> None:
    for load in (ee.load, ee.load_baseline):
        with refused(ee.InputError, *facts):
            load(bundle, backend=backend, **options)


@pytest.mark.parametrize("device", ["cpu", "CPU"])
def test_a_device_of_onnx_runtime(bundle: Path, device: str) -> None:
    images = np.zeros((1, 3, 4, 4), np.float32)
    for backend in ("auto", "onnxruntime"):
        with ee.load(bundle, backend=backend, device=device) as session:
            assert session.device == "CPUExecutionProvider"
            assert session.infer(images).exits.tolist() == [2]


def test_a_device_that_is_not_in_this_onnxruntime(bundle: Path) -> None:
    with pytest.raises(ee.BackendError, match="CUDAExecutionProvider is not in this onnxruntime"):
        ee.load(bundle, backend="onnxruntime", device="cuda")


def test_engines_without_a_cuda_device_are_no_surprise(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_gpu(monkeypatch, None)
    opened = open_bundle(bundle)
    backend = BACKENDS["tensorrt"]
    why = backend.why_not(opened)
    assert why is not None
    assert "no engine was built from stage1" in why.reason
    engines: Any = tuple(
        SimpleNamespace(graph=name, library="tensorrt") for name, _ in opened.manifest.graphs()
    )
    manifest: Any = SimpleNamespace(engines=engines, graphs=opened.manifest.graphs)
    built = Bundle(bundle, manifest)
    assert backend.why_not(built) == WhyNot(
        "no CUDA device is here: nvidia-smi, or tegrastats, should show one"
    )


def test_a_module_belongs_to_the_backend_that_needs_it() -> None:
    for backend in BACKENDS.values():
        for module in backend.modules:
            assert install_hint(module) == backend.install
    assert install_hint("beads") is None


def test_every_backend_says_what_it_is() -> None:
    for name, backend in BACKENDS.items():
        assert backend.name == name
        assert backend.install.startswith("pip install 'edgeexit-runtime[")
        assert backend.devices
