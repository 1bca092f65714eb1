"""``edgeexit build`` and ``edgeexit export --engine``: real engines, without a GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from click.testing import CliRunner, Result

from edgeexit.cli import main

GRAPHS = ["stage1", "exit1", "stage2", "exit2", "stage3", "final"]
RTX = ("--compute-capability", "8.6")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def export(checkpoint: Path, output: Path, *options: object) -> Result:
    quick = ("--samples", 4, "--no-baseline", "--max-batch", 4)
    return run("export", checkpoint, "-o", output, *quick, *options)


def test_export_builds_none_unless_asked(checkpoint: Path, tmp_path: Path) -> None:
    assert export(checkpoint, tmp_path / "out").exit_code == 0
    assert not list((tmp_path / "out").glob("*.engine"))
    assert ee.load_manifest(tmp_path / "out").engines == ()


def test_engines_from_export_to_tuning(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    output = tmp_path / "out"
    engine = ("--engine", "tensorrt-rtx", *RTX)
    result = export(checkpoint, output, "--precision", "fp16", *engine, "--json")
    assert result.exit_code == 0, result.output
    engines = json.loads(result.stdout)["engines"]
    assert [entry["graph"] for entry in engines] == GRAPHS
    assert {entry["compute_capability"] for entry in engines} == {"8.6"}

    result = run("build", "--engine-dir", output, *RTX)
    assert result.exit_code == 0, result.output
    assert f"{output}: 0 engines built, 6 kept" in result.stdout
    assert "kept: it fits" in result.stdout

    result = run("build", "--engine-dir", output, *RTX, "--rebuild", "--opt-batch", 2, "--json")
    assert result.exit_code == 0, result.output
    built = json.loads(result.stdout)["engines"]
    assert {entry["reason"] for entry in built} == {"asked to"}
    assert {entry["options"]["opt_batch"] for entry in built} == {2}

    result = run("tune", "--engine-dir", output, "--max-drop", 0.9)
    assert result.exit_code == 0, result.output
    assert len(ee.load_manifest(output).engines) == len(GRAPHS), "the manifest was rewritten"

    result = export(checkpoint, output)  # over a bundle with engines
    assert result.exit_code == 0, result.output
    assert not list(output.glob("*.engine"))
    with ee.load(output) as session:
        assert session.manifest.engines == ()


def test_engines_are_shown(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = export(checkpoint, tmp_path / "out", "--engine", "tensorrt-rtx", *RTX)
    assert result.exit_code == 0, result.output
    assert "TensorRT-RTX" in result.stdout
    assert "100% fp32" in result.stdout
    assert "6 engines built, 0 kept" in result.stdout


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (("--compute-capability", "8.6"), "add --engine tensorrt-rtx", 2),
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
    result = export(checkpoint, tmp_path / "out", *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_auto_exports_where_nothing_builds(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeexit_runtime.backends.trt_library.is_installed", lambda name: False)
    result = export(checkpoint, tmp_path / "out", "--engine", "auto")
    assert result.exit_code == 0, result.output
    assert "no engines will be built here: neither TensorRT nor TensorRT-RTX" in result.stderr
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_failed_build_leaves_the_exported_bundle(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")

    def fail(*arguments: Any) -> Any:
        raise ee.BackendError("stage1: the build ran out of memory")

    monkeypatch.setattr("edgeexit_runtime.engines.build_engine", fail)
    result = export(checkpoint, tmp_path / "out", "--engine", "tensorrt-rtx", *RTX)
    assert result.exit_code == 1
    assert "stage1: the build ran out of memory" in result.stderr
    ee.load(tmp_path / "out").close()


def test_build_of_no_bundle(tmp_path: Path) -> None:
    result = run("build", "--engine-dir", tmp_path)
    assert result.exit_code == 1
    assert "no such file; expected the folder that 'edgeexit export' wrote" in result.stderr
