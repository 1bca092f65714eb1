"""``edgeexit triton`` and ``export --format triton``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.command_line import invoke, message, one_line


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("triton") / "out")


def test_as_typed(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke.ok("triton", bundle)
    text = one_line(result.stdout)
    assert text.startswith("repository: edgeexit, which chains 6 parts of onnxruntime_onnx, ")
    assert "thresholds exit1 0.9, exit2 0.9, batches of up to 64" in text
    assert "repository/edgeexit/config.pbtxt" in text
    assert text.endswith("tritonserver --model-repository repository")
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert Path("repository/edgeexit/1/model.py").is_file()


def test_as_json(bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "repository"
    said = invoke.json("triton", bundle, "-o", output, "--name", "cats")
    assert said["repository"] == str(output)
    assert said["name"] == "cats"
    assert said["parts"][-1] == "cats_final"
    assert said["thresholds"] == {"exit1": 0.9, "exit2": 0.9}
    assert said["warnings"] == []


def test_export_in_one_step(tiny_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "repository"
    options = ("--format", "triton", "-o", output, "--samples", 20)
    said = invoke.json("export", tiny_file, *options)
    assert said["repository"] == said["bundle"] == str(output)
    assert [exit_["name"] for exit_ in said["exits"]] == ["exit1", "exit2", "final"]
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]
    assert f"{output}: is there already" in message(invoke("export", tiny_file, *options))


def test_engines_that_are_not_there(bundle: Path, tmp_path: Path) -> None:
    told = message(invoke("triton", bundle, "-o", tmp_path / "r", "--platform", "tensorrt_plan"))
    assert "no engine was built from stage1; run: edgeexit build" in told
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_no_backbone_either(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    told = message(invoke("inspect", f"{tmp_path}/repository/"))
    assert "expected the folder that 'edgeexit export' wrote" in told
