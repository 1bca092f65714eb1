"""What is asked of TensorRT to build an engine, version by version, and how failures are told."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.backends.cuda.device import Gpu
from edgeexit_runtime.backends.tensorrt.engine_check import open_for_this_gpu
from edgeexit_runtime.backends.tensorrt.versions import open_library
from edgeexit_runtime.bundle.engine_entry import EngineOptions
from edgeexit_runtime.engines.building import build_engines
from support.messages import refused

ALL = ["stage1", "exit1", "stage2", "exit2", "stage3", "final", "baseline"]


def build_fails(
    folder: Path, *facts: str, error: type[Exception] = ee.BackendError, **how: Any
) -> None:
    with refused(error, *facts):
        build_engines(folder, **how)


def test_calls_of_tensorrt_10_3_in_order(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install("10.3.0")
    report = build_engines(bundle, EngineOptions(opt_batch=2, workspace_mib=64))
    assert [engine.entry.graph for engine in report.engines] == ALL
    first = behaviour.calls[: behaviour.calls.index("build_serialized_network") + 2]
    assert first == [
        "logger",
        ("create_network", 1 << 1),  # strongly typed
        ("profiling_verbosity", "DETAILED"),
        ("builder_optimization_level", 3),
        ("max_aux_streams", 0),
        ("set_memory_pool_limit", "WORKSPACE", 64 * 2**20),
        ("clear_flag", "TF32"),
        ("set_shape", "images", (1, 3, 4, 4), (2, 3, 4, 4), (4, 3, 4, 4)),
        "add_optimization_profile",
        ("set_timing_cache", b""),
        "monitor",
        "build_serialized_network",
        ("deserialize_cuda_engine", False),
    ]


def test_a_threshold_has_no_batch(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install()
    build_engines(bundle)
    assert {call[1] for call in behaviour.calls if call[0] == "set_shape"} == {
        *("images", "first", "second", "third")
    }


def test_every_option_reaches_tensorrt(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install("10.13.2")
    options = EngineOptions(
        optimization_level=5,
        version_compatible=True,
        hardware_compatibility="same-capability",
        tf32=True,
    )
    build_engines(bundle, options)
    calls = behaviour.calls
    assert ("builder_optimization_level", 5) in calls
    assert ("set_flag", "VERSION_COMPATIBLE") in calls
    assert ("hardware_compatibility_level", "SAME_COMPUTE_CAPABILITY") in calls
    assert ("clear_flag", "TF32") not in calls
    assert not any(call[0] == "set_memory_pool_limit" for call in calls)
    assert ("deserialize_cuda_engine", True) in calls, "holds a runtime, which must be allowed"


def test_tensorrt_11_has_strongly_typed_networks_alone(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install("11.0.0")
    build_engines(bundle)
    assert ("create_network", 0) in behaviour.calls


def test_rtx_needs_no_gpu_and_takes_a_compute_capability(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install("1.7.1", rtx=True, gpu=None)
    report = build_engines(bundle, compute_capability="8.6")
    assert ("num_compute_capabilities", 1) in behaviour.calls
    assert ("set_compute_capability", "SM86", 0) in behaviour.calls
    assert ("set_flag", "REQUIRE_USER_ALLOCATION") in behaviour.calls, "CUDA graphs need it"
    assert not any(call[0] == "set_timing_cache" for call in behaviour.calls), "does nothing there"
    assert report.engines[0].entry.gpu is None
    assert report.engines[0].entry.compute_capability == "8.6"


HARDWARE, CAPABILITY = "hardware compatibility: ", "compute capability: "


@pytest.mark.parametrize(
    ("version", "options", "how", "facts"),
    [
        (
            "10.3.0",
            {"hardware_compatibility": "same-capability"},
            {},
            (HARDWARE, "TensorRT 10.3.0 has none, ampere+", "'same-capability'"),
        ),
        (
            "10.3.0",
            {},
            {"library": "tensorrt", "compute_capability": "8.6"},
            (CAPABILITY, "builds for the GPU that is here", "tensorrt-rtx"),
        ),
        ("1.7.1", {"version_compatible": True}, {}, ("version compatible: ", "build again")),
        (
            "1.7.1",
            {"hardware_compatibility": "ampere+"},
            {},
            (HARDWARE, "compute capability 8.6, 8.9, 12.0", "omit it"),
        ),
        (
            "1.7.1",
            {},
            {"compute_capability": "8.7"},
            (CAPABILITY, "TensorRT-RTX 1.7.1 builds for 8.6, 12.0, got '8.7'"),
        ),
        ("10.3.0", {"opt_batch": 5}, {}, ("opt batch: expected 1 to 4", "got 5")),
        ("10.3.0", {}, {"library": "trt"}, ("library: ", "auto, tensorrt, tensorrt-rtx", "'trt'")),
    ],
)
def test_options_that_do_not_fit(
    version: str,
    options: dict[str, Any],
    how: dict[str, Any],
    facts: tuple[str, ...],
    bundle: Path,
    doubles: Any,
) -> None:
    behaviour = doubles.install(version, rtx=version.startswith("1."))
    build_fails(bundle, *facts, error=ee.InputError, options=EngineOptions(**options), **how)
    assert behaviour.calls == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opt_batch": 0}, "opt batch: expected 1 or more, got 0"),
        ({"workspace_mib": 0}, "workspace, MiB: expected 1 or more, got 0"),
        ({"optimization_level": 6}, "optimization level: expected 0 to 5, got 6"),
        (
            {"hardware_compatibility": "all"},
            "hardware compatibility: expected one of none, same-capability, ampere+, got 'all'",
        ),
    ],
)
def test_options_that_never_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        EngineOptions(**options)


OUT_OF_MEMORY = "Error Code 2: OutOfMemory (Requested size was 9 bytes)"
NO_WORKSPACE = "Could not find any implementation for node a due to insufficient workspace."
LOGGED = (
    ("WARNING", "tactic 3 is slow"),
    ("ERROR", "Thread context has not been set! Using global log stream."),
    ("ERROR", "Error Code 9:\n no kernel for conv1"),
    ("INTERNAL_ERROR", "buildSerializedNetwork failed"),
)


@pytest.mark.parametrize(
    ("behaviour", "facts"),
    [
        ({"gpu": None}, ("TensorRT 10.3.0", "finds none here", "on the device", "tensorrt-rtx")),
        ({"version": "8.6.2"}, ("TensorRT 8.6.2: expected 10.3 or later", "install")),
        (
            {"parse_errors": (("GridSample", "n3", "no importer\n  registered"), ("", "", "x"))},
            ("stage1.onnx", "cannot read", "GridSample node 'n3': no importer registered"),
        ),
        (
            {"parse_errors": (("", "", "Failed to parse the ONNX model."),)},
            ("stage1.onnx", "cannot read the graph: Failed to parse the ONNX model."),
        ),
        ({"engine": None, "logged": LOGGED}, ("stage1", "Error Code 9: no kernel for conv1")),
        (
            {"engine": RuntimeError("unknown"), "logged": LOGGED},
            ("stage1", "Error Code 9: no kernel for conv1"),
        ),
        (
            {"engine": None, "logged": (("ERROR", OUT_OF_MEMORY),)},
            ("stage1", "out of memory", OUT_OF_MEMORY, "close other programs", "workspace"),
        ),
        (
            {"engine": None, "logged": (("ERROR", "Cuda Runtime (out of memory)"),)},
            ("stage1: the build ran out of memory", "Cuda Runtime (out of memory)"),
        ),
        ({"engine": MemoryError()}, ("stage1: the build ran out of memory", "(out of memory)")),
        ({"engine": RuntimeError("std::bad_alloc")}, ("ran out of memory", "std::bad_alloc")),
        (
            {"engine": None, "logged": (("ERROR", NO_WORKSPACE),)},
            ("stage1: the workspace of 8 MiB is too small", NO_WORKSPACE, "allow more"),
        ),
        ({"starts": False}, ("stage1", "does not start", "driver missing?")),
        ({"loads": False}, ("stage1", "was built but does not load")),
    ],
)
def test_failed_build_says_why(
    behaviour: dict[str, Any], facts: tuple[str, ...], bundle: Path, doubles: Any
) -> None:
    doubles.install(**behaviour)
    build_fails(bundle, *facts, options=EngineOptions(workspace_mib=8))


def test_inputs_that_are_not_the_manifests(bundle: Path, doubles: Any) -> None:
    doubles.install(inputs=("pictures",))
    facts = ("stage1.onnx", "expected the inputs images", "got pictures", "export")
    build_fails(bundle, *facts, error=ee.BundleError)


@pytest.mark.parametrize(
    ("library", "facts"),
    [
        ("auto", ("neither TensorRT nor TensorRT-RTX", "pip install", "JetPack", "tensorrt-rtx")),
        ("tensorrt-rtx", ("TensorRT-RTX is not installed", "pip install tensorrt-rtx")),
    ],
)
def test_libraries_that_are_not_installed(
    library: str, facts: tuple[str, ...], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    build_fails(bundle, *facts, library=library)


@pytest.mark.parametrize(
    ("source", "fact"),
    [
        ("raise ImportError('libnvinfer.so.10: no such file\\nhint')", "libnvinfer.so.10: no such"),
        ("import tensorrt_bindings", "incomplete: tensorrt_bindings is missing"),
    ],
)
def test_broken_library(
    source: str, fact: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", None)
    build_fails(bundle, "TensorRT is installed but", fact, "install it again", library="tensorrt")


def test_auto_is_tensorrt_only_where_it_can_build(bundle: Path, doubles: Any) -> None:
    doubles.install("10.3.0")
    assert open_library().title == "TensorRT 10.3.0"
    doubles.place(None)
    assert open_library().title == "TensorRT 10.3.0", "no other is installed; it says what it lacks"
    behaviour = doubles.install("1.7.1", rtx=True, gpu=None)
    assert open_library().title == "TensorRT-RTX 1.7.1"
    doubles.monkeypatch.setitem(sys.modules, "tensorrt", doubles.module("10.3.0", False, behaviour))
    assert open_library().title == "TensorRT-RTX 1.7.1", "there is no GPU for the other"
    doubles.place(Gpu("RTX 3090", "8.6"))
    assert open_library().title == "TensorRT 10.3.0"
    assert open_library(compute_capability="12.0").title == "TensorRT-RTX 1.7.1"


def test_library_for_the_gpu_that_is_here(doubles: Any) -> None:
    behaviour = doubles.install("1.7.1", rtx=True, gpu=Gpu("RTX 3090", "8.6"))
    assert open_for_this_gpu().title == "TensorRT-RTX 1.7.1"
    doubles.place(Gpu("RTX 2080", "7.5"))
    with pytest.raises(
        ee.BackendError, match=r"TensorRT-RTX 1\.7\.1 .* 8\.9, .* RTX 2080 has 7\.5"
    ):
        open_for_this_gpu()
    doubles.monkeypatch.setitem(sys.modules, "tensorrt", doubles.module("10.3.0", False, behaviour))
    assert open_for_this_gpu().title == "TensorRT 10.3.0"
    doubles.place(None)
    with pytest.raises(ee.BackendError, match="no GPU"):
        open_for_this_gpu()


@pytest.mark.parametrize(("name", "capability"), [("Orin", "8.7"), ("NVIDIA H100", "9.0")])
def test_a_gpu_that_rtx_does_not_know_is_named_before_anything_is_built(
    bundle: Path, doubles: Any, name: str, capability: str
) -> None:
    behaviour = doubles.install("1.7.1", rtx=True, gpu=Gpu(name, capability))
    facts = ("TensorRT-RTX 1.7.1", "8.6, 8.9, 12.0", f"{name} has {capability}", "install TensorRT")
    build_fails(bundle, *facts)
    with refused(ee.BackendError, *facts):
        open_for_this_gpu()
    assert behaviour.calls == []
    assert build_engines(bundle, library="tensorrt-rtx").built == 7, "for another machine"


def test_no_hardware_compatibility_on_a_jetson(
    bundle: Path, doubles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubles.install("10.3.0")
    monkeypatch.setattr("edgeexit_runtime.backends.tensorrt.versions.l4t_version", lambda: "36.4.3")
    with pytest.raises(ee.InputError, match=r"^hardware compatibility: .* on a Jetson"):
        build_engines(bundle, EngineOptions(hardware_compatibility="ampere+"))


def test_progress_tells_the_share_of_all_engines(bundle: Path, doubles: Any) -> None:
    told: list[tuple[str, float]] = []

    def building(monitor: Any) -> None:
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Timing", "Building", 4)
        assert monitor.step_complete("Timing", 0)
        monitor.phase_finish("Timing")
        assert monitor.step_complete("Building", 0)
        monitor.phase_finish("Building")

    doubles.install(building=building)
    build_engines(bundle, progress=lambda *step: told.append(step))
    assert told[:7] == [
        ("stage1: reading", 0.0 / 7),
        ("stage1: Building", 0.0 / 7),
        ("stage1: Timing", 0.0 / 7),
        ("stage1: Timing", 0.125 / 7),
        ("stage1: Timing", 0.125 / 7),
        ("stage1: Building", 0.5 / 7),
        ("stage1: Building", 0.5 / 7),
    ]
    assert told[-1] == ("writing", 1.0)
    assert [done for _, done in told] == sorted(done for _, done in told)


def test_interrupt_stops_the_build_and_does_not_pass_through_tensorrt(
    bundle: Path, doubles: Any, files: Any
) -> None:
    def building(monitor: Any) -> None:
        monitor.phase_start("Building", None, 2)
        assert monitor.step_complete("Building", 0) is False

    behaviour = doubles.install(building=building, engine=None)
    before = files(bundle)

    def progress(step: str, done: float) -> None:
        if step == "stage1: Building":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engines(bundle, progress=progress)
    assert behaviour.calls.count("build_serialized_network") == 1
    assert files(bundle) == before
