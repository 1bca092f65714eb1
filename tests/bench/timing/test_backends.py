"""One bundle on several backends in the same run: which ones, what they take, who was left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime import Session
from numpy.typing import NDArray

from edgeexit.bench import BenchImages, BenchOptions, run_bench
from edgeexit.bench.results.mixture import BACKEND, EARLY_EXIT
from edgeexit.bench.timing.backends import plan_backends
from edgeexit.errors import InputError

QUICK = BenchOptions(threads=1, rounds=3, duration_s=60, warm_up_s=0)
EXITS, LABELS = [0, 1, 0, 0], [3, 4, 5, 6]
LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]

needs_openvino = pytest.mark.usefixtures("openvino")


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino")


def asked(*backends: str, **more: object) -> BenchOptions:
    return dataclasses.replace(QUICK, backends=backends, **more)  # type: ignore[arg-type]


# which


def test_one_backend_alone_unless_asked(bundle: Path) -> None:
    plan = plan_backends(bundle, QUICK)
    assert (plan.measured.name, plan.others, plan.left_out) == ("auto", (), ())
    assert run_bench(bundle, None, QUICK).backends is None


@needs_openvino
@pytest.mark.parametrize(
    ("options", "measured", "others"),
    [
        (asked("all"), "onnxruntime", ("openvino",)),
        (asked("all", backend="openvino"), "openvino", ("onnxruntime",)),
        (asked("openvino", "onnxruntime"), "onnxruntime", ("openvino",)),
        (asked("openvino"), "openvino", ()),
        (asked("openvino", backend="onnxruntime"), "onnxruntime", ("openvino",)),
        (asked("onnxruntime:2", "openvino"), "onnxruntime:2", ("openvino",)),
        (asked("onnxruntime:2", backend="onnxruntime"), "onnxruntime", ("onnxruntime:2",)),
        (asked("all", threads=None), "onnxruntime", ("onnxruntime:1", "openvino", "openvino:1")),
    ],
)
def test_which_is_measured_and_which_beside_it(
    options: BenchOptions, measured: str, others: tuple[str, ...], bundle: Path
) -> None:
    plan = plan_backends(bundle, options)
    assert (plan.measured.name, plan.auto) == (measured, "onnxruntime")
    assert tuple(other.name for other in plan.others) == others


@needs_openvino
def test_threads_are_of_the_cpu(bundle: Path) -> None:
    plan = plan_backends(bundle, asked("all", threads=None, device="GPU"))
    assert (plan.measured.name, plan.others) == ("openvino", ())


@pytest.mark.parametrize("name", ["onnxruntime:0", "onnxruntime:", "onnxruntime:two"])
def test_threads_are_a_number_above_0(name: str, bundle: Path) -> None:
    with pytest.raises(InputError, match=f"above 0, as in onnxruntime:1, got '{name}'"):
        plan_backends(bundle, asked(name))


def test_all_leaves_out_what_cannot_run_it_and_says_why(bundle: Path) -> None:
    plan = plan_backends(bundle, asked("all"))
    reasons = {it.name: it.reason for it in plan.left_out}
    assert "no engine was built" in reasons["tensorrt"]


def test_all_leaves_out_what_does_not_take_the_options(bundle: Path) -> None:
    plan = plan_backends(bundle, asked("all", providers=("CPUExecutionProvider",)))
    assert (plan.measured.name, plan.others) == ("onnxruntime", ())
    reasons = {it.name: it.reason for it in plan.left_out}
    assert "openvino" in reasons["openvino"]
    assert "providers" in reasons["openvino"]


@pytest.mark.parametrize(
    "options", [asked("onnxruntime", "tensorrt"), asked("all", backend="tensorrt")]
)
def test_what_is_named_has_to_run(options: BenchOptions, bundle: Path) -> None:
    with pytest.raises(InputError, match=r"^backends: .*tensorrt: no engine was built"):
        run_bench(bundle, None, options)


# what they take


@needs_openvino
def test_without_images_every_path_on_every_backend(bundle: Path) -> None:
    report = run_bench(bundle, None, asked("all"))
    assert report.backends is not None
    (other,) = report.backends.others
    assert (other.name, other.device) == ("openvino", "OpenVINO CPU")
    assert other.computed_in.startswith("fp32 ")
    assert report.device.versions["layers computed in"].startswith("fp32 ")
    assert report.device.backend_device == "CPUExecutionProvider", "all else is of it"
    plain_ms = report.baseline.latency.p50_ms
    ours, theirs = (report.baseline, *report.paths), (other.baseline, *other.paths)
    for path, over, ratio in zip(theirs, ours, other.over_measured, strict=True):
        assert (path.name, path.path_macs) == (over.name, over.path_macs)
        assert len(path.times_ms) == 3 * 5
        assert path.ratio == path.latency.p50_ms / plain_ms
        assert ratio.value == path.latency.p50_ms / over.latency.p50_ms
        assert ratio.low <= ratio.value <= ratio.high
    for fastest, our, their in zip(report.backends.fastest, ours[1:], theirs[1:], strict=True):
        medians = {"onnxruntime": our.latency.p50_ms, "openvino": their.latency.p50_ms}
        assert fastest.what == our.name
        assert (fastest.name, fastest.next_name) == tuple(sorted(medians, key=medians.__getitem__))
        assert (fastest.time_ms, fastest.next_ms) == tuple(sorted(medians.values()))
        assert fastest.ratio.value == fastest.time_ms / fastest.next_ms


def test_threads_are_compared(bundle: Path) -> None:
    report = run_bench(bundle, None, asked("onnxruntime:2", "onnxruntime:1", threads=None))
    assert report.backends is not None
    assert report.device.threads == 2, "all else is of the first"
    (other,) = report.backends.others
    assert (report.backends.measured, other.name) == ("onnxruntime:2", "onnxruntime:1")
    names = {report.backends.measured, other.name}
    assert {report.backends.fastest[0].name, report.backends.fastest[0].next_name} == names


def test_threads_of_no_use_are_no_other_backend(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that computes on a GPU has no threads, whatever it was given."""
    monkeypatch.setattr(Session, "threads", None)
    report = run_bench(bundle, None, asked("onnxruntime", "onnxruntime:1", threads=None))
    assert report.backends is not None
    assert report.backends.others == ()


@needs_openvino
def test_images_run_on_every_backend(bundle: Path, leaving_at: LeavingAt) -> None:
    images = BenchImages("test", leaving_at(EXITS, LABELS), np.array(LABELS))
    report = run_bench(bundle, images, asked("all", scenarios=("single-stream", "offline")))
    assert report.mixture is not None
    assert report.backends is not None
    (run,) = (run for run in report.mixture.runs if run.role == BACKEND)
    ours = report.mixture.early_exit
    assert (run.name, run.accuracy, run.same_answers) == ("openvino", 1, 1)
    assert run.thresholds == ours.thresholds
    assert np.shape(run.times_ms) == (3, 4)
    assert run.over_early_exit is not None
    assert run.over_early_exit.value == np.mean(run.times_ms) / np.mean(ours.times_ms)
    assert ours.same_answers is None
    (fastest,) = report.backends.fastest
    assert fastest.what == EARLY_EXIT
    assert fastest.time_ms == min(run.latency.mean_ms, ours.latency.mean_ms)
    assert report.scenarios is not None
    assert report.scenarios.offline is not None
    assert report.scenarios.single_stream is not None
    for results in (report.scenarios.offline, report.scenarios.single_stream.results):
        assert run.label in [result.name for result in results]
