"""``edgeexit export``: what it writes, what it prints, and what it answers to mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from support.command_line import Command

run = Command("export")


def test_bundle_is_written_proven_and_loads(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ("--max-batch", 4, "--samples", 20, "--no-baseline", "--json")
    result = run.ok(checkpoint, "-o", output, *options)
    printed = json.loads(result.stdout)
    assert printed["bundle"] == str(output)
    assert printed["samples"] == 20
    assert printed["source"] == "digits, val"
    assert [exit_["name"] for exit_ in printed["exits"]] == ["exit1", "exit2", "final"]
    with ee.load(output) as session:
        assert session.manifest.max_batch == 4
        assert session.manifest.baseline is None
        assert session.thresholds == {"exit1": 0.9, "exit2": 0.9}
        assert session.manifest.data["name"] == "digits"


def test_as_typed(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second takes the place of the first
        result = run.ok(tiny_file, "--precision", "fp16", "--samples", 8)
        first, *_, last = result.stdout.splitlines()
        assert first.startswith("out gives 100.00% of 8 images")
        assert "; 6 graphs, " in first
        assert first.endswith(" MB in fp16")
        assert last == "next: edgeexit bench --engine-dir out/"
        assert ee.load_manifest(tmp_path / "out").precision == "fp16"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_another_folder_named_out_is_not_touched(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    told = run.refused(tiny_file, "--samples", 1)
    assert "out: holds other files and no bundle; choose another -o" in told
    assert [path.name for path in Path("out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("--precision", "fp8"), "'fp8' is not one of 'fp32', 'fp16'", 2),
        (("--opset", "21"), "21 is not in the range 18<=x<=20", 2),
        (("--dataset", "digit"), "unknown data set 'digit': did you mean digits?", 2),
        (("--dataset", "cifar10", "--data-dir", "nowhere"), "nowhere", 1),
        (("--required-thresholds",), "--required-thresholds goes with --format single", 2),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], message: str, code: int, checkpoint: Path, tmp_path: Path
) -> None:
    assert message in run.refused(checkpoint, "-o", tmp_path / "out", *arguments, code=code)
    assert not (tmp_path / "out").exists()
