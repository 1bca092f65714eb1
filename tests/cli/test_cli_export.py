"""``edgeexit export``: what it writes, what it prints, and what it answers to mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from click.testing import CliRunner, Result

from edgeexit.cli import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_bundle_is_written_proven_and_loads(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ("--max-batch", 4, "--samples", 20, "--no-baseline", "--json")
    result = run(checkpoint, "-o", output, *options)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["bundle"] == str(output)
    assert printed["samples"] == 20
    assert printed["source"] == "digits, val"
    assert [exit_["name"] for exit_ in printed["exits"]] == ["exit1", "exit2", "final"]
    with ee.load(output) as session:
        assert session.manifest.max_batch == 4
        assert session.manifest.baseline is None
        assert session.thresholds == {"exit1": 0.2, "exit2": 0.2}
        assert session.manifest.data["name"] == "digits"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("--precision", "fp8"), "'fp8' is not one of 'fp32', 'fp16'", 2),
        (("--opset", "21"), "21 is not in the range 18<=x<=20", 2),
        (("--dataset", "digit"), "unknown data set 'digit': did you mean digits?", 2),
        (("--dataset", "cifar10", "--data-dir", "nowhere"), "nowhere", 1),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], message: str, code: int, checkpoint: Path, tmp_path: Path
) -> None:
    result = run(checkpoint, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_missing_checkpoint(tmp_path: Path) -> None:
    result = run(tmp_path / "none.pt", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "could not read the checkpoint" in result.stderr


def test_a_folder_of_other_files_is_not_touched(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = run(checkpoint, "-o", tmp_path, "--samples", 1)
    assert result.exit_code == 1
    assert "holds other files and no bundle; choose another folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
