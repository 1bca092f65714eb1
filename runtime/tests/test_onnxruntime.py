"""The ONNX Runtime backend: what it refuses to load, and what it says of itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
Images = NDArray[np.float32]
Replace = Callable[[Path, str, bytes], None]


def rename(content: bytes, old: str, new: str) -> bytes:
    """Return the model with a tensor by another name."""
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for info in (*model.graph.input, *model.graph.output):
        info.name = new if info.name == old else info.name
    changed: bytes = model.SerializeToString()
    return changed


@pytest.mark.parametrize("backend", ["auto", "onnxruntime"])
def test_what_a_session_says_of_itself(bundle: Path, backend: str) -> None:
    with ee.load(bundle, backend=backend, providers=[CPU], threads=2) as session:
        assert session.device == CPU
        assert session.threads == 2
        assert session.runner.versions == {"onnxruntime": onnxruntime.__version__}
        assert session.manifest == ee.load_manifest(bundle)
    with ee.load(bundle) as session:
        assert session.threads is None


def test_provider_that_is_not_in_this_onnxruntime(bundle: Path) -> None:
    available = ", ".join(onnxruntime.get_available_providers())
    message = f"providers: AbacusProvider is not in this onnxruntime; it has {available}"
    for load in (ee.load, ee.load_baseline):
        with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
            load(bundle, providers=["AbacusProvider", CPU])
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
        ee.load(bundle, providers=[CPU, "AbacusProvider"])


def test_no_providers(bundle: Path) -> None:
    with pytest.raises(ee.BackendError, match=rf"^providers: expected at least one of .*{CPU}"):
        ee.load(bundle, providers=[])


def test_providers_as_a_string(bundle: Path) -> None:
    message = f"providers: expected a list such as ['{CPU}'], got '{CUDA}'"
    with pytest.raises(ee.InputError, match=f"^{re.escape(message)}$"):
        ee.load(bundle, providers=CUDA)


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
    ("providers", "missing"),
    [([CUDA, CPU], CUDA), ([CPU, CUDA], CUDA), ([TENSORRT, CUDA, CPU], TENSORRT)],
)
def test_provider_that_was_asked_for_and_does_not_start(
    bundle: Path, providers: list[str], missing: str
) -> None:
    message = (
        f"{missing} is in this onnxruntime but did not start here (driver or library missing?); "
        f"started: {CPU}"
    )
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
        ee.load(bundle, providers=providers)


@pytest.mark.usefixtures("broken_gpu")
@pytest.mark.parametrize("providers", [[CUDA], [TENSORRT, CUDA]])
def test_provider_alone_that_does_not_start(bundle: Path, providers: list[str]) -> None:
    message = (
        f"stage1.onnx: {providers[0]} did not start here (driver or library missing?), or does not "
        f"have all of its nodes; name {CPU} behind it to let the CPU have the others"
    )
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
        ee.load(bundle, providers=providers)


@pytest.mark.usefixtures("broken_gpu")
def test_provider_that_was_not_asked_for_and_does_not_start(
    bundle: Path,
    caplog: pytest.LogCaptureFixture,
    images_leaving_at: Callable[[list[int]], Images],
) -> None:
    with caplog.at_level(logging.WARNING), ee.load(bundle, threads=1) as session:
        assert session.device == CPU
        assert session.infer(images_leaving_at([1])).exits.tolist() == [1]
    assert caplog.messages == [f"{CUDA} did not start, running on {CPU}"]


@pytest.mark.parametrize("content", [b"", b"\x08\x08:\x00"])
def test_file_that_is_no_graph_but_has_its_hash(
    bundle: Path, replace_graph: Replace, content: bytes
) -> None:
    replace_graph(bundle, "stage2", content)
    with pytest.raises(ee.BackendError, match=r"^stage2\.onnx: onnxruntime cannot load it: .+$"):
        ee.load(bundle)


def test_names_that_are_no_text(bundle: Path, replace_graph: Replace) -> None:
    """onnxruntime loads it, and fails where it is asked for its tensors."""
    content = (bundle / "stage2.onnx").read_bytes()
    assert content.count(b"batch") == 2
    replace_graph(bundle, "stage2", content.replace(b"batch", b"b\xe1tch"))
    message = r"^stage2\.onnx: onnxruntime cannot load it: .*utf-8"
    with pytest.raises(ee.BackendError, match=message):
        ee.load(bundle)


@pytest.mark.parametrize(
    ("name", "expected", "old"),
    [("stage2", "first", "first"), ("exit1", "first, threshold", "threshold")],
)
def test_graph_with_other_inputs_than_the_manifests(
    bundle: Path, replace_graph: Replace, name: str, expected: str, old: str
) -> None:
    content = (bundle / f"{name}.onnx").read_bytes()
    replace_graph(bundle, name, rename(content, old, "other"))
    message = (
        f"{name}.onnx: expected inputs {expected} by the manifest, got "
        f"{expected.replace(old, 'other')}; export the bundle again"
    )
    with pytest.raises(ee.BundleError, match=f"^{re.escape(message)}$"):
        ee.load(bundle)


def test_graph_with_other_outputs_than_the_manifests(bundle: Path, replace_graph: Replace) -> None:
    content = (bundle / "exit1.onnx").read_bytes()
    replace_graph(bundle, "exit1", rename(content, "confidence", "score"))
    message = (
        "exit1.onnx: expected outputs logits, confidence, label, exits by the manifest, got "
        "logits, score, label, exits; export the bundle again"
    )
    with pytest.raises(ee.BundleError, match=f"^{re.escape(message)}$"):
        ee.load(bundle)


@pytest.mark.parametrize(
    ("dtype", "shape", "got"),
    [
        ("float32", [3, 4, 5], "tensor(float) (3, 4, 4)"),
        ("float32", [3, 4], "tensor(float) (3, 4, 4)"),
        ("float16", [3, 4, 4], "tensor(float) (3, 4, 4)"),
    ],
)
def test_graph_with_tensors_of_another_size_or_type(
    bundle: Path,
    edit_manifest: Callable[[Path, Callable[[dict[str, Any]], object]], None],
    dtype: str,
    shape: list[int],
    got: str,
) -> None:
    def change(manifest: dict[str, Any]) -> None:
        written = manifest["stages"][1]["graph"]["outputs"][0]
        read = (manifest["stages"][2]["graph"]["inputs"], manifest["exits"][1]["graph"]["inputs"])
        for tensor in (written, *(inputs[0] for inputs in read)):
            tensor.update(dtype=dtype, shape=shape)

    edit_manifest(bundle, change)
    message = (
        f"stage2.onnx: expected second {dtype} {tuple(shape)} by the manifest, got {got}; export "
        "the bundle again"
    )
    with pytest.raises(ee.BundleError, match=f"^{re.escape(message)}$"):
        ee.load(bundle)


def test_more_images_than_the_buffers_hold(
    bundle: Path, random_images: Callable[[int, int], Images]
) -> None:
    with ee.load(bundle, threads=1) as session:
        with pytest.raises(ee.InputError, match=r"^images: expected at most 4 at once, got 5$"):
            session.runner.set_images(random_images(5, 0))
        session.runner.set_images(random_images(4, 0))


def test_parts_run_one_by_one(
    bundle: Path, images_leaving_at: Callable[[list[int]], Images]
) -> None:
    images = images_leaving_at([0, 1, 0])
    with ee.load(bundle, threads=1) as session:
        runner = session.runner
        runner.set_images(images)
        runner.run_stage("stage1")
        gate = runner.run_exit("exit1")
        assert gate.exits.tolist() == [True, False, True]
        assert gate.labels.dtype == np.int32
        assert gate.confidences.dtype == np.float32
        np.testing.assert_array_equal(runner.logits("exit1"), 2 * images[:, 0, 0, :3])

        runner.keep("exit1", np.array([1]))
        runner.run_stage("stage2")
        assert runner.run_exit("exit2").labels.tolist() == [1]
        np.testing.assert_array_equal(runner.logits("exit2"), images[1:2, 0, 1, :3])
        # what an exit gave stays what it gave of all who reached it
        np.testing.assert_array_equal(runner.logits("exit1"), 2 * images[:, 0, 0, :3])


def test_logits_are_a_copy(bundle: Path, images_leaving_at: Callable[[list[int]], Images]) -> None:
    with ee.load(bundle, threads=1) as session:
        session.infer(images_leaving_at([0]))
        logits = session.runner.logits("exit1")
        session.infer(images_leaving_at([2]))
        assert logits.tolist() == [[16, 0, 0]]
