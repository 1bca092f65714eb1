"""Real engines of every kind of graph, which TensorRT-RTX builds without a GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.engine_entry import EngineOptions
from edgeexit_runtime.engines.building import build_engines
from edgeexit_runtime.testing import make_model
from onnx import helper

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

# of the doubles, what only TensorRT's versions before 11 know by name
NOT_IN_RTX = {("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH")}


def used_of(doubles: Any) -> list[tuple[str, str]]:
    """Every class of the doubles with each of its attributes."""
    names: set[tuple[str, str]] = set()
    for version, rtx in (("10.3.0", False), ("10.13.0", False), ("11.0.0", False), ("1.7", True)):
        names |= doubles.attributes(doubles.module(version, rtx, doubles.install(version, rtx=rtx)))
    return sorted(names)


def test_everything_that_the_doubles_have_is_in_tensorrt(doubles: Any) -> None:
    used = [(kind, member) for kind, member in used_of(doubles) if (kind, member) not in NOT_IN_RTX]
    assert ("IBuilderConfig", "set_compute_capability") in used
    assert ("Runtime", "engine_host_code_allowed") in used
    assert len(used) >= 70
    missing = [
        f"{kind}.{member}" for kind, member in used if not hasattr(getattr(trt, kind), member)
    ]
    assert missing == []


@pytest.fixture
def no_gpu() -> None:
    from edgeexit_runtime.backends.cuda.device import find_gpu

    if find_gpu() is not None:
        pytest.skip("there is a GPU here")


def test_engines_of_every_graph(
    network: Any, write_bundle: Callable[[Any], Path], no_gpu: None
) -> None:
    folder = write_bundle(network)
    report = build_engines(folder, library="tensorrt-rtx", compute_capability="8.6")
    manifest = ee.load_manifest(folder)
    assert [entry.graph for entry in manifest.engines] == list(manifest.all_graphs())
    for entry in manifest.engines:
        assert entry.version == trt.__version__
        assert (entry.gpu, entry.compute_capability) == (None, "8.6")
        assert entry.layers_from == "network", "no GPU to load it on"
        assert sum(entry.layers.values()) == pytest.approx(1, abs=1e-3)
        assert (folder / entry.file).stat().st_size == entry.size_bytes > 1000
    assert report.built == len(manifest.engines)
    again = build_engines(folder, library="tensorrt-rtx", compute_capability="8.6")
    assert again.built == 0


def test_memory_is_left_to_the_session(no_gpu: None) -> None:
    """Every engine of the tests above was built so; without it, no CUDA graph captures a run."""
    from edgeexit_runtime.backends.tensorrt.versions import open_library

    library = open_library("tensorrt-rtx")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    config = builder.create_builder_config()
    assert not config.get_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    library.configure(config, EngineOptions(), "8.6")
    assert config.get_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    assert config.max_aux_streams == 0


def test_compute_capability_that_there_is_not(bundle: Path) -> None:
    with pytest.raises(ee.InputError, match=r"builds for 7\.5, 8\.0, 8\.6.*, got '6\.1'$"):
        build_engines(bundle, library="tensorrt-rtx", compute_capability="6.1")


def test_operator_that_there_is_not(
    bundle: Path, replace_graph: Callable[[Path, str, bytes], None], no_gpu: None
) -> None:
    shape = ["batch", 3, 4, 4]
    node = helper.make_node("Unheard", ["images"], ["first"], name="strange", domain="of.nobody")
    model = make_model([node], {"images": shape}, {"first": shape}, opset=13)
    model.opset_import.append(helper.make_opsetid("of.nobody", 1))
    replace_graph(bundle, "stage1", model.SerializeToString())
    with pytest.raises(ee.BackendError) as raised:
        build_engines(bundle, library="tensorrt-rtx")
    message = str(raised.value)
    assert message.startswith(f"stage1.onnx: TensorRT-RTX {trt.__version__} cannot read the graph")
    assert "Unheard node 'strange'" in message
    assert "\n" not in message
    assert not list(bundle.glob("*.engine"))


def test_model_without_a_graph(
    bundle: Path, replace_graph: Callable[[Path, str, bytes], None], no_gpu: None
) -> None:
    replace_graph(bundle, "stage1", b"\x08\x08")
    with pytest.raises(ee.BackendError, match=r"^stage1: TensorRT-RTX .* could not build it: "):
        build_engines(bundle, library="tensorrt-rtx")


def test_interrupt_cancels_a_real_build(bundle: Path, files: Any, no_gpu: None) -> None:
    before = files(bundle)

    def progress(step: str, done: float) -> None:
        if done > 1.2 / 7:  # in the middle of the second engine
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engines(bundle, library="tensorrt-rtx", progress=progress)
    assert files(bundle) == before


def test_runtime_alone_builds(bundle: Path, no_gpu: None) -> None:
    """Neither edgeexit nor ONNX Runtime nor PyCUDA is imported."""
    code = (
        "import sys; from edgeexit_runtime.__main__ import main; code = main(sys.argv[1:]); "
        "print(sorted({'onnxruntime', 'torch', 'edgeexit', 'click', 'pycuda'} & set(sys.modules)));"
        "sys.exit(code)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "build", str(bundle), "--library", "tensorrt-rtx"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
    assert f"7 engines built, 0 kept, TensorRT-RTX {trt.__version__}" in result.stdout
    assert (bundle / "baseline.engine").is_file()
