"""What ONNX Runtime's GPU providers are told; the CPU stands in for them, as there is no GPU."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import onnxruntime
import pytest
from edgeexit_runtime.backends.onnxruntime import sessions as onnxruntime_sessions

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
Opened = list[tuple[Any, dict[str, dict[str, str]]]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Options of every session that is opened, with its providers' own. All of them start."""
    calls: Opened = []
    real = onnxruntime.InferenceSession

    class Session(real):
        def __init__(self, content: bytes, options: Any, providers: Any, **more: Any) -> None:
            calls.append((options, dict(providers)))
            plain = onnxruntime.SessionOptions()
            plain.intra_op_num_threads = 1
            real.__init__(self, content, plain, providers=[CPU])
            self.named = list(dict(providers))

        def get_providers(self) -> list[str]:
            return self.named

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    # as there is no device memory here
    monkeypatch.setattr("edgeexit_runtime.backends.onnxruntime.runner.GPU_PROVIDERS", ())
    return calls


def hashes(folder: Path) -> dict[str, str]:
    return {name: graph.sha256[:16] for name, graph in ee.load_manifest(folder).graphs()}


def test_tensorrt_keeps_its_engines_in_the_bundle(
    bundle: Path, opened: Opened, images_leaving_at: Callable[[list[int]], Any]
) -> None:
    with ee.load(bundle, providers=[TENSORRT, CUDA]) as session:
        assert session.device == TENSORRT
        assert session.infer(images_leaving_at([2, 0, 1])).exits.tolist() == [2, 0, 1]
    cache = bundle.resolve() / "engines" / "onnxruntime"
    stage = opened[0][1]
    assert list(stage) == [TENSORRT, CUDA]
    assert stage[TENSORRT] == {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache / f"stage1-{hashes(bundle)['stage1']}"),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_profile_min_shapes": "images:1x3x4x4",
        "trt_profile_opt_shapes": "images:1x3x4x4",
        "trt_profile_max_shapes": "images:4x3x4x4",
        "trt_fp16_enable": "0",
        "trt_int8_enable": "0",
    }
    exit_ = opened[1][1][TENSORRT]
    assert exit_["trt_profile_max_shapes"] == "first:4x3x4x4", "the threshold's shape is fixed"
    paths = [providers[TENSORRT]["trt_engine_cache_path"] for _, providers in opened[:6]]
    assert len(set(paths)) == 6
    assert all(Path(path).is_dir() for path in paths)
    rows = [list(providers) for _, providers in opened[6:]]  # of each tensor between graphs
    assert rows == [[CUDA]] * 3


def test_other_weights_get_another_cache(
    bundle: Path, opened: Opened, replace_graph: Callable[[Path, str, bytes], None]
) -> None:
    ee.load(bundle, providers=[TENSORRT]).close()
    content = (bundle / "stage1.onnx").read_bytes()
    replace_graph(bundle, "stage1", content + b"\x1a\x00")  # an empty doc string more
    ee.load(bundle, providers=[TENSORRT]).close()
    before, after = (opened[index][1][TENSORRT]["trt_engine_cache_path"] for index in (0, 9))
    assert before != after


@pytest.mark.parametrize(
    ("precision", "tf32", "half", "int8"),
    [("fp32", "0", "0", "0"), ("fp16", "1", "1", "0"), ("int8", "1", "0", "1")],
)
def test_precision_is_the_bundles(
    bundle: Path,
    opened: Opened,
    edit_manifest: Callable[..., None],
    precision: str,
    tf32: str,
    half: str,
    int8: str,
) -> None:
    edit_manifest(bundle, lambda manifest: manifest.update(precision=precision))
    ee.load(bundle, providers=[TENSORRT, CUDA]).close()
    options = opened[0][1]
    assert options[CUDA]["use_tf32"] == tf32
    assert options[TENSORRT]["trt_fp16_enable"] == half
    assert options[TENSORRT]["trt_int8_enable"] == int8


class Stream:
    """In the place of a GPU's stream: counts who waits, and who frees it."""

    handle = 4660

    def __init__(self) -> None:
        self.waits = 0
        self.is_closed = False

    def synchronize(self) -> None:
        assert not self.is_closed
        self.waits += 1

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """The stream that a session opens."""
    stream = Stream()
    monkeypatch.setattr(onnxruntime_sessions, "open_stream", lambda: stream)
    return stream


@pytest.mark.parametrize("providers", [[CUDA], [TENSORRT, CUDA]])
def test_all_graphs_compute_in_one_stream(
    bundle: Path, opened: Opened, stream: Stream, providers: list[str]
) -> None:
    ee.load(bundle, providers=providers).close()
    settings = [options for _, graph in opened for options in graph.values()]
    assert len(settings) == 6 * len(providers) + 3  # graphs, and selections of rows
    assert {options["user_compute_stream"] for options in settings} == {"4660"}
    assert stream.is_closed


def test_the_cpu_has_no_stream(bundle: Path, opened: Opened, stream: Stream) -> None:
    ee.load(bundle, providers=[CPU]).close()
    assert not stream.is_closed
    ee.load(bundle, providers=[CUDA, CPU]).close()
    assert all("user_compute_stream" not in options[CPU] for _, options in opened)


def test_no_stage_is_waited_for_but_where_no_exit_is_behind_it(
    bundle: Path,
    opened: Opened,
    stream: Stream,
    images_leaving_at: Callable[[list[int]], Any],
) -> None:
    images = images_leaving_at([2, 0, 1])
    with ee.load(bundle, providers=[CUDA]) as session:
        for _ in range(3):
            assert session.infer(images).exits.tolist() == [2, 0, 1]
        assert stream.waits == 0
        session.runner.set_images(images)
        session.runner.run_stage("stage1")
        session.runner.synchronize()
        session.runner.synchronize()
        assert stream.waits == 1
        session.runner.run_stage("stage1")
        assert session.infer(images).exits.tolist() == [2, 0, 1]
        assert stream.waits == 2, "buffers of the batch that nobody waited for are used again"
        session.runner.set_images(images)
        session.runner.run_stage("stage1")
    assert stream.waits == 3
    assert stream.is_closed


@pytest.mark.parametrize(
    ("providers", "disabled"), [([CUDA], True), ([TENSORRT, CUDA], True), ([CUDA, CPU], False)]
)
def test_cpu_computes_only_where_it_is_named(
    bundle: Path, opened: Opened, providers: list[str], disabled: bool
) -> None:
    ee.load(bundle, providers=providers).close()
    assert len(opened) == 9
    for options, _ in opened:
        if disabled:
            assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
        else:
            with pytest.raises(RuntimeError):  # it was never set
                options.get_session_config_entry("session.disable_cpu_ep_fallback")


def test_nodes_that_a_provider_does_not_have_are_not_given_to_the_cpu(bundle: Path) -> None:
    """With the real onnxruntime, and a provider that has no node at all."""
    azure = "AzureExecutionProvider"
    if azure not in onnxruntime.get_available_providers():
        pytest.skip(f"this onnxruntime has no {azure}")
    message = rf"^stage1\.onnx: {azure} did not start here .* or does not have all of its nodes"
    with pytest.raises(ee.BackendError, match=message):
        ee.load(bundle, providers=[azure])
    ee.load(bundle, providers=[azure, CPU]).close()


def test_a_build_is_said(bundle: Path, opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ee.load(bundle, providers=[TENSORRT]).close()
    assert caplog.messages[0] == f"{TENSORRT} builds the engine of stage1, which may take minutes"
    assert len(caplog.messages) == 6
    caplog.clear()
    for _, providers in opened[:6]:
        (Path(providers[TENSORRT]["trt_engine_cache_path"]) / "x.engine").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        ee.load(bundle, providers=[TENSORRT]).close()
    assert caplog.messages == []


def test_cache_that_cannot_be_written(bundle: Path, opened: Opened) -> None:
    (bundle / "engines").write_bytes(b"")
    cache = bundle.resolve() / "engines" / "onnxruntime" / f"stage1-{hashes(bundle)['stage1']}"
    message = f"{cache}: {TENSORRT} keeps its engines here, and it cannot be written ("
    with pytest.raises(ee.BundleError, match=f"^{re.escape(message)}.*make the folder writable$"):
        ee.load(bundle, providers=[TENSORRT])
