"""``edgeexit demo``: every step, and that a second run starts from what is there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.command_line import invoke

from edgeexit.cli import demo, main
from edgeexit.data import load_data
from edgeexit.evaluation import predict_bundle
from edgeexit.training import load_checkpoint


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The words of each command."""
    commands: list[tuple[object, ...]] = []
    monkeypatch.setattr(demo, "_run", lambda *words: commands.append(words))
    return commands


def test_a_target_is_made_once(tmp_path: Path, ran: list[tuple[object, ...]]) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    demo._make(target, source, "tune")
    assert ran == [("tune",)]
    target.touch()
    demo._make(target, source, "tune")
    assert ran == [("tune",)]


def test_a_target_older_than_its_source_is_made_again(
    tmp_path: Path, ran: list[tuple[object, ...]]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    target.touch()
    source.touch()
    os.utime(target, (0, 0))
    demo._make(target, source, "tune")
    assert ran == [("tune",)]


def test_an_interrupted_training_is_resumed(tmp_path: Path, ran: list[tuple[object, ...]]) -> None:
    folder = tmp_path / "run"
    demo._train(folder, "--branches", "3+1")
    folder.mkdir()
    (folder / "last.pt").touch()
    demo._train(folder, "--branches", "3+1")
    assert ran[0][:3] == ("train", "--backbone", "resnet20")
    assert ran[0][-4:] == ("--branches", "3+1", "-o", folder)
    assert ran[1] == ("train", "--resume", "-o", folder)


def test_a_command_is_shown_as_a_shell_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "main", lambda words, **_: None)
    shown: list[str] = []
    monkeypatch.setattr("click.secho", lambda text, **_: shown.append(text))
    demo._run("tune", tmp_path / "a run", "--max-drop", 0)
    words = shlex.split(shown[0].removeprefix("\n$ "))
    assert words == ["edgeexit", "tune", str(tmp_path / "a run"), "--max-drop", "0"]


def test_a_folder_of_somebody_elses(tmp_path: Path, ran: list[tuple[object, ...]]) -> None:
    (tmp_path / "bench.png").write_text("mine")
    result = invoke("demo", "-o", str(tmp_path))
    assert result.exit_code == 1
    assert f"{tmp_path}: holds other files and no demo; choose another -o" in result.stderr
    assert ran == []


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = ("--backbone", "resnet20", "--dataset", "digits", "--epochs", "1", "--lr", "0.05")
    monkeypatch.setattr(demo, "RECIPE", recipe)
    monkeypatch.setattr(demo, "BENCH", ("--duration", "0.1", "--samples", "20"))
    # one epoch: confidences are near their thresholds
    monkeypatch.setattr(demo, "INT8", (*demo.INT8, "--min-agreement", "0.5"))
    output = tmp_path / "demo"
    first = invoke("demo", "-o", str(output))
    assert first.exit_code == 0, first.output
    words = ("Summary", "exit1", "early exit", "plain backbone", "bench.png", "int8 ms")
    for word in (*words, "get the FP32 network's label from its exit"):
        assert word in first.stdout
    assert (output / "bench.png").stat().st_size > 10_000
    for precision in demo.PRECISIONS:
        assert (output / f"bench_{precision}.html").stat().st_size > 10_000
    made = {path: path.stat().st_mtime for path in output.rglob("*.onnx")}
    assert len(made) == 21

    second = invoke("demo", "-o", str(output))
    assert second.exit_code == 0, second.output
    assert "is finished" in second.stderr
    assert second.stdout.count("is there: not made again") == 7
    assert {path: path.stat().st_mtime for path in output.rglob("*.onnx")} == made


@pytest.mark.slow
def test_int8_answers_as_fp32(tmp_path: Path) -> None:
    """The demo's network on all validation images, which no range was measured on."""
    files = demo._Files(tmp_path)
    demo._train(files.branched, "--branches", "3+1", "--distill", "wed")
    demo._run("tune", files.branched / "ckpt.pt", "--max-drop", 0)
    demo._keep_calibration_images(files)
    calibrated = ("--calibration-data", files.calibration, *demo.INT8)
    for precision, more in (("fp32", ()), ("int8", calibrated)):
        words = ("--precision", precision, "--no-baseline", "-o", files.bundle(precision), *more)
        demo._run("export", files.tuned, *words)
    data = load_data(load_checkpoint(files.tuned).data).splits["val"]
    assert len(data) == 360
    answers = []
    for precision in ("fp32", "int8"):
        with ee.load(files.bundle(precision), providers=["CPUExecutionProvider"]) as session:
            answers.append(predict_bundle(session, data))
            thresholds = [*session.thresholds.values(), 0.0]
    fp32, int8 = answers
    decisions = [it.confidences >= np.array(thresholds)[:, None] for it in answers]
    assert (fp32.labels == int8.labels).mean(axis=1).min() >= 0.99
    assert (decisions[0] == decisions[1]).mean(axis=1).min() >= 0.99
