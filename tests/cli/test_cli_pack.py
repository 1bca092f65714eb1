"""``edgeexit pack``, ``export --format single`` and ``inspect`` of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
from support.command_line import invoke, message, one_line


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("pack") / "out")


def inputs(file: Path) -> list[str]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs with defaults
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return [tensor.name for tensor in session.get_inputs()]


def test_as_typed(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke.ok("pack", bundle, "--samples", 40)
    text = one_line(result.stdout)
    assert text.startswith("model.onnx: ")
    assert "120 labels and exits are the bundle's, of 40 images (digits, val)" in text
    assert "4402" in text
    assert text.endswith("edgeexit inspect model.onnx")
    assert inputs(Path("model.onnx")) == ["images"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_inspect_explains_the_file(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    invoke.ok("pack", bundle, "-o", file, "--samples", 5)
    text = invoke("inspect", file).stdout
    for fact in (
        f"{file}: single file of three_convolutions",
        "in, float32 (2,): exit1 0.9, exit2 0.9",
        "0 exit1, 1 exit2, 2 final",
        "float32 (N, 10)",
        "float32 Nx3x8x8",
        "4402",
    ):
        assert fact in text
    said = invoke.json("inspect", file)
    assert said["kind"] == "single file"
    assert said["thresholds"] == {"exit1": 0.9, "exit2": 0.9}
    assert len(said["warnings"]) == 1


def test_a_terminal_obeys_nothing_that_is_in_a_file(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    invoke.ok("pack", bundle, "-o", file, "--samples", 5)
    model = onnx.load(file)
    (entry,) = [it for it in model.metadata_props if it.key == "edgeexit.data"]
    entry.value = json.dumps({"name": "a\x1b[31m" + "b" * 500})
    onnx.save(model, file)
    text = invoke("inspect", file).stdout
    assert "a\\x1b[31mbb" in text
    assert "\x1b" not in text
    assert "b" * 80 not in text


def test_export_in_one_step(tiny_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    options = ("--format", "single", "--samples", 20, "--required-thresholds", "--json")
    result = invoke.ok("export", tiny_file, "-o", file, *options)
    said = json.loads(result.stdout)
    assert said["file"] == said["bundle"] == str(file)
    assert said["decisions"] == 60
    assert [exit_["name"] for exit_ in said["exits"]] == ["exit1", "exit2", "final"]
    assert inputs(file) == ["images", "thresholds"]
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_name_that_is_no_onnx_files(bundle: Path, tiny_file: Path) -> None:
    for result in (
        invoke("pack", bundle, "-o", "model"),
        invoke("export", tiny_file, "--format", "single"),
    ):
        assert "-o: expected a file name that ends in .onnx" in message(result)


@pytest.mark.parametrize("form", ["single", "triton"])
def test_engines_are_of_a_bundles_parts(tiny_file: Path, tmp_path: Path, form: str) -> None:
    options = ("--format", form, "-o", tmp_path / "m.onnx", "--engine", "tensorrt-rtx")
    told = invoke.refused("export", tiny_file, *options, code=2)
    assert f"--engine tensorrt-rtx builds the parts of a bundle: omit --format {form}" in told


def test_no_bundle(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in message(invoke("pack", tmp_path / "none"))


@pytest.mark.parametrize(("form", "command"), [("single", "pack"), ("triton", "triton")])
def test_thresholds_of_another_score_are_chosen_of_a_bundle(
    tiny_file: Path, tmp_path: Path, form: str, command: str
) -> None:
    options = ("--format", form, "-o", tmp_path / "m.onnx", "--score", "margin", "--samples", 20)
    result = invoke.ok("export", tiny_file, *options)
    text = one_line(result.stderr)
    assert "edgeexit tune --engine-dir out/ --max-drop 0.01" in text
    assert f"edgeexit {command} out" in text
