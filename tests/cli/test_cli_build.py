"""``edgeexit build`` and ``edgeexit export --engine``: real engines, without a GPU."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.backends.cuda.device import Gpu
from edgeexit_runtime.testing import edit_manifest
from support.command_line import Command
from support.command_line import invoke as run
from support.hardware import place_gpu
from support.messages import missing

GRAPHS = ["stage1", "exit1", "stage2", "exit2", "stage3", "final"]
RTX = ("--compute-capability", "8.6")


export = Command("export", "--samples", 4, "--no-baseline", "--max-batch", 4)


def test_export_builds_none_where_no_gpu_is_here(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_gpu(monkeypatch, None)
    output = tmp_path / "my bundle"
    result = export.ok(tiny_file, "-o", output)
    _, line = result.stderr.splitlines()  # behind what the data set holds
    assert line.startswith("no TensorRT engines were built: there is no GPU here; ")
    first, _, second = line.partition(": edgeexit ")[2].partition(", or ")
    assert shlex.split(first) == ["build", "--engine-dir", f"{output}/"]
    assert shlex.split(second) == ["python", "-m", "edgeexit_runtime", "build", f"{output}/"]
    assert ee.load_manifest(output).engines == ()
    assert "engines" not in export(tiny_file, "-o", output, "--engine", "none").stderr


@pytest.mark.parametrize(
    ("gpu", "installed", "reason"),
    [
        (Gpu("RTX 3090", "8.6"), False, "neither TensorRT nor TensorRT-RTX is installed"),
        (
            Gpu("RTX 2080", "7.5"),
            True,
            "capabilities 8.6, 8.9, 12.0, this RTX 2080 has 7.5: build for it alone",
        ),
    ],
)
def test_export_builds_none_where_nothing_builds_for_the_gpu(
    gpu: Gpu,
    installed: bool,
    reason: str,
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place_gpu(monkeypatch, gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # as if it were not installed
    if installed:
        pytest.importorskip("tensorrt_rtx")
    else:
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    result = export.ok(tiny_file, "-o", tmp_path / "out", "--json")
    _, line = result.stderr.splitlines()  # behind what the data set holds
    assert line.startswith("no TensorRT engines were built: ")
    assert reason in line
    assert "engines" not in json.loads(result.stdout)
    assert ee.load_manifest(tmp_path / "out").engines == ()


def test_export_builds_where_a_gpu_is_here(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    # seen by the export alone: TensorRT-RTX would ask a driver for more
    find_gpu = "edgeexit_runtime.backends.tensorrt.engine_check.find_gpu"
    monkeypatch.setattr(find_gpu, lambda: Gpu("RTX 3090", "8.6"))
    result = export.ok(tiny_file, "-o", tmp_path / "out", "--json")
    assert "no TensorRT engines" not in result.stderr
    assert [entry["graph"] for entry in json.loads(result.stdout)["engines"]] == GRAPHS


def test_engines_from_export_to_tuning(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    output = tmp_path / "out"
    engine = ("--engine", "tensorrt-rtx", *RTX)
    engines = export.json(checkpoint, "-o", output, "--precision", "fp16", *engine)["engines"]
    assert [entry["graph"] for entry in engines] == GRAPHS
    assert {entry["compute_capability"] for entry in engines} == {"8.6"}

    result = run.ok("build", "--engine-dir", output, *RTX)
    assert f"{output}: 0 engines built, 6 kept" in result.stdout
    assert "kept: it fits" in result.stdout

    built = run.json("build", "--engine-dir", output, *RTX, "--rebuild", "--opt-batch", 2)[
        "engines"
    ]
    assert {entry["reason"] for entry in built} == {"asked to"}
    assert {entry["options"]["opt_batch"] for entry in built} == {2}

    result = run.ok("tune", "--engine-dir", output, "--max-drop", 0.9)
    assert len(ee.load_manifest(output).engines) == len(GRAPHS), "the manifest was rewritten"

    result = export.ok(checkpoint, "-o", output)  # over a bundle with engines
    assert not list(output.glob("*.engine"))
    with ee.load(output) as session:
        assert session.manifest.engines == ()


def test_engines_are_shown(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = export.ok(checkpoint, "-o", tmp_path / "out", "--engine", "tensorrt-rtx", *RTX)
    assert "TensorRT-RTX" in result.stdout
    assert "100% fp32" in result.stdout
    assert "6 engines built, 0 kept" in result.stdout
    assert "no INT8 kernel" not in result.stdout
    edit_manifest(tmp_path / "out", lambda it: it["engines"][0].update(floating=["conv1", "conv2"]))
    result = run("build", "--engine-dir", tmp_path / "out", *RTX)
    assert "0 engines built, 6 kept" in result.stdout
    assert "stage1: TensorRT-RTX" in result.stdout
    assert "has no INT8 kernel for conv1, conv2: computed in floating point" in result.stdout


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (("--compute-capability", "8.6"), "add --engine tensorrt-rtx", 2),
        (("--engine", "none", "--compute-capability", "8.6"), "add --engine tensorrt-rtx", 2),
        (("--engine", "tensorrt"), "TensorRT is not installed", 1),
        (("--engine", "trt"), "'trt' is not one of", 2),
    ],
)
def test_mistakes_are_told_before_anything_is_exported(
    options: tuple[str, ...],
    message: str,
    code: int,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert message in export.refused(checkpoint, "-o", tmp_path / "out", *options, code=code)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [(), ("--engine", "tensorrt-rtx", *RTX)], ids=["auto", "rtx"])
def test_failed_build_leaves_the_exported_bundle(
    options: tuple[str, ...],
    tiny_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("tensorrt_rtx")
    place_gpu(monkeypatch, Gpu("RTX 3090", "8.6"))  # of which the library finds nothing
    result = export(tiny_file, "-o", tmp_path / "out", *options)  # a summary is printed before it
    assert result.exit_code == 1
    assert not missing(result.stderr, "stage1: TensorRT-RTX", "could not build it")
    ee.load(tmp_path / "out").close()


@pytest.mark.parametrize("command", [("build",), ("bench",), ("predict", "x.png")])
def test_without_a_bundle_in_out(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").touch()
    told = run.refused(*command)
    assert "out/manifest.json: no such file; expected the folder that 'edgeexit" in told
