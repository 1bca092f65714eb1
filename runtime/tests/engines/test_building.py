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

ALL = ["stage1", "exit1", "stage2", "exit2", "stage3", "final", "baseline"]


def build_fails(
    folder: Path, message: str, kind: type[Exception] = ee.BackendError, **how: Any
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
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


@pytest.mark.parametrize(
    ("version", "rtx", "options", "how", "message"),
    [
        (
            "10.3.0",
            False,
            {"hardware_compatibility": "same-capability"},
            {},
            "hardware compatibility: TensorRT 10.3.0 has none, ampere+, got 'same-capability'",
        ),
        (
            "10.3.0",
            False,
            {},
            {"library": "tensorrt", "compute_capability": "8.6"},
            "compute capability: TensorRT builds for the GPU that is here; omit it, or choose "
            "tensorrt-rtx",
        ),
        (
            "1.7.1",
            True,
            {"version_compatible": True},
            {},
            "version compatible: TensorRT-RTX's engines run in the version that built them alone; "
            "build again after an upgrade",
        ),
        (
            "1.7.1",
            True,
            {"hardware_compatibility": "ampere+"},
            {},
            "hardware compatibility: TensorRT-RTX's engines run on GPUs of compute capability 8.6, "
            "8.9, 12.0, or of a requested one; omit it",
        ),
        (
            "1.7.1",
            True,
            {},
            {"compute_capability": "8.7"},
            "compute capability: TensorRT-RTX 1.7.1 builds for 8.6, 12.0, got '8.7'",
        ),
        (
            "10.3.0",
            False,
            {"opt_batch": 5},
            {},
            "opt batch: expected 1 to 4, the bundle's largest, got 5",
        ),
        (
            "10.3.0",
            False,
            {},
            {"library": "trt"},
            "library: expected one of auto, tensorrt, tensorrt-rtx, got 'trt'",
        ),
    ],
)
def test_options_that_do_not_fit(
    version: str,
    rtx: bool,
    options: dict[str, Any],
    how: dict[str, Any],
    message: str,
    bundle: Path,
    doubles: Any,
) -> None:
    behaviour = doubles.install(version, rtx=rtx)
    build_fails(bundle, message, ee.InputError, options=EngineOptions(**options), **how)
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


def test_tensorrt_without_a_gpu(bundle: Path, doubles: Any) -> None:
    doubles.install("10.3.0", gpu=None)
    build_fails(
        bundle,
        "TensorRT 10.3.0 builds on the GPU that will run the engines, and finds none here; build "
        "on the device, or ahead of time with tensorrt-rtx",
    )


def test_old_tensorrt(bundle: Path, doubles: Any) -> None:
    doubles.install("8.6.2")
    build_fails(bundle, "TensorRT 8.6.2: expected 10.3 or later; install a newer one")


def test_graph_that_the_parser_does_not_read(bundle: Path, doubles: Any) -> None:
    doubles.install(
        parse_errors=(("GridSample", "node_3", "no importer\n  registered"), ("", "", "x"))
    )
    build_fails(
        bundle,
        "stage1.onnx: TensorRT 10.3.0 cannot read the graph: GridSample node 'node_3': no importer "
        "registered",
    )


def test_graph_that_is_no_onnx(bundle: Path, doubles: Any) -> None:
    doubles.install(parse_errors=(("", "", "Failed to parse the ONNX model."),))
    build_fails(
        bundle,
        "stage1.onnx: TensorRT 10.3.0 cannot read the graph: Failed to parse the ONNX model.",
    )


def test_inputs_that_are_not_the_manifests(bundle: Path, doubles: Any) -> None:
    doubles.install(inputs=("pictures",))
    build_fails(
        bundle,
        "stage1.onnx: expected the inputs images by the manifest, got pictures; export the bundle "
        "again",
        ee.BundleError,
    )


@pytest.mark.parametrize("engine", [None, RuntimeError("unknown")])
def test_failed_build_says_the_first_error(engine: Any, bundle: Path, doubles: Any) -> None:
    doubles.install(
        engine=engine,
        logged=(
            ("WARNING", "tactic 3 is slow"),
            ("ERROR", "Thread context has not been set! Using global log stream."),
            ("ERROR", "Error Code 9:\n no kernel for conv1"),
            ("INTERNAL_ERROR", "buildSerializedNetwork failed"),
        ),
    )
    build_fails(
        bundle, "stage1: TensorRT 10.3.0 could not build it: Error Code 9: no kernel for conv1"
    )


@pytest.mark.parametrize(
    ("engine", "logged", "reason"),
    [
        (
            None,
            "[virtualMemoryBuffer.cpp] Error Code 2: OutOfMemory (Requested size was 9 bytes)",
            "",
        ),
        (None, "Cuda Runtime (out of memory)", ""),
        (MemoryError(), "", "out of memory"),
        (RuntimeError("std::bad_alloc"), "", "std::bad_alloc"),
    ],
)
def test_build_that_runs_out_of_memory(
    engine: Any, logged: str, reason: str, bundle: Path, doubles: Any
) -> None:
    doubles.install(engine=engine, logged=(("ERROR", logged),) if logged else ())
    build_fails(
        bundle,
        f"stage1: the build ran out of memory ({logged or reason}); close other programs, limit "
        "the workspace or choose a lower optimization level",
    )


def test_workspace_that_is_too_small(bundle: Path, doubles: Any) -> None:
    logged = "Could not find any implementation for node a due to insufficient workspace."
    doubles.install(engine=None, logged=(("ERROR", logged),))
    build_fails(
        bundle,
        f"stage1: the workspace of 8 MiB is too small for TensorRT 10.3.0 ({logged}); allow more "
        "of it",
        options=EngineOptions(workspace_mib=8),
    )


def test_builder_that_does_not_start(bundle: Path, doubles: Any) -> None:
    doubles.install(starts=False)
    build_fails(
        bundle, "stage1: TensorRT 10.3.0 could not build it: it does not start (driver missing?)"
    )


def test_engine_that_does_not_load(bundle: Path, doubles: Any) -> None:
    doubles.install(loads=False)
    build_fails(
        bundle,
        "stage1: TensorRT 10.3.0 could not build it: the engine was built but does not load",
    )


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither library is there."""
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("not_installed")
def test_neither_library_installed(bundle: Path) -> None:
    build_fails(
        bundle,
        "neither TensorRT nor TensorRT-RTX is installed: pip install tensorrt, "
        "or on a Jetson JetPack's python3-libnvinfer; to build without a GPU, pip install "
        "tensorrt-rtx",
    )


@pytest.mark.usefixtures("not_installed")
def test_library_that_was_named_is_not_installed(bundle: Path) -> None:
    build_fails(
        bundle,
        "TensorRT-RTX is not installed: pip install tensorrt-rtx",
        library="tensorrt-rtx",
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            r"raise ImportError('libnvinfer.so.10: cannot open shared object file\nhint')",
            "TensorRT is installed but does not start: libnvinfer.so.10: cannot open shared object "
            "file; install it again",
        ),
        (
            "import tensorrt_bindings",
            "TensorRT is installed but incomplete: tensorrt_bindings is missing; install it again",
        ),
    ],
)
def test_broken_library(
    source: str, message: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt_bindings", None)
    build_fails(bundle, message, library="tensorrt")


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
    message = (
        f"TensorRT-RTX 1.7.1 builds for compute capabilities 8.6, 8.9, 12.0, this {name} has "
        f"{capability}: TensorRT-RTX 1.7.1 has none for it; install TensorRT"
    )
    build_fails(bundle, message)
    with pytest.raises(ee.BackendError, match=f"^{re.escape(message)}$"):
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
