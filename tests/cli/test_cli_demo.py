"""``edgeexit demo``: every step, and that a second run starts from what is there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.testing import write_bundle
from support.command_line import invoke
from support.messages import missing

from edgeexit.cli.demo import PRECISIONS, Demo, run_shown
from edgeexit.data import load_data
from edgeexit.evaluation import predict_bundle
from edgeexit.training import load_checkpoint

Words = list[tuple[object, ...]]


def recording(folder: Path) -> tuple[Demo, Words]:
    """Return a demo that runs nothing, and the words of each command that it would have run."""
    commands: Words = []
    return Demo(folder, run=lambda *words: commands.append(words)), commands


def test_a_target_is_made_once(tmp_path: Path) -> None:
    demo, ran = recording(tmp_path)
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    demo.run_once(target, source, "tune")
    assert ran == [("tune",)]
    target.touch()
    demo.run_once(target, source, "tune")
    assert ran == [("tune",)]


def test_a_target_older_than_its_source_is_made_again(tmp_path: Path) -> None:
    demo, ran = recording(tmp_path)
    source, target = tmp_path / "source", tmp_path / "target"
    target.touch()
    source.touch()
    os.utime(target, (0, 0))
    demo.run_once(target, source, "tune")
    assert ran == [("tune",)]


def test_an_interrupted_training_is_resumed(tmp_path: Path) -> None:
    demo, ran = recording(tmp_path)
    folder = tmp_path / "run"
    demo.train(folder, "--branches", "3+1")
    folder.mkdir()
    (folder / "last.pt").touch()
    demo.train(folder, "--branches", "3+1")
    assert ran[0][:3] == ("train", "--backbone", "resnet20")
    assert ran[0][-4:] == ("--branches", "3+1", "-o", folder)
    assert ran[1] == ("train", "--resume", "-o", folder)


def test_a_command_is_shown_as_a_shell_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a run"
    write_bundle(folder)
    run_shown("inspect", folder, "--json")
    words = shlex.split(capsys.readouterr().out.splitlines()[1].removeprefix("$ "))
    assert words == ["edgeexit", "inspect", str(folder), "--json"]


def test_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "bench.png").write_text("mine")
    told = invoke.refused("demo", "-o", str(tmp_path))
    assert not missing(told, f"{tmp_path}: holds other files", "another -o")
    assert [path.name for path in tmp_path.iterdir()] == ["bench.png"]


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = Demo(
        tmp_path / "demo",
        recipe=("--backbone", "resnet20", "--dataset", "digits", "--epochs", "1", "--lr", "0.05"),
        bench=("--duration", "0.1", "--samples", "20"),
        # one epoch: confidences are near their thresholds
        int8=("--min-agreement", "0.5"),
    )
    demo.make()
    first = capsys.readouterr().out
    words = ("Summary", "exit1", "early exit", "plain backbone", "bench.png", "int8")
    for word in (*words, "get the FP32 network's label from its exit"):
        assert word in first
    assert (demo.folder / "bench.png").stat().st_size > 10_000
    for precision in PRECISIONS:
        assert demo.report(precision, "html").stat().st_size > 10_000
    made = {path: path.stat().st_mtime for path in demo.folder.rglob("*.onnx")}
    assert len(made) == 21

    demo.make()
    second = capsys.readouterr()
    assert "is finished" in second.err
    assert second.out.count("exists: not made again") == 7
    assert {path: path.stat().st_mtime for path in demo.folder.rglob("*.onnx")} == made


@pytest.mark.slow
def test_int8_answers_as_fp32(tmp_path: Path) -> None:
    """The demo's network on all validation images, which no range was measured on."""
    demo = Demo(tmp_path)
    demo.train(demo.branched, "--branches", "3+1", "--distill", "wed")
    demo.run("tune", demo.branched / "ckpt.pt", "--max-drop", 0)
    demo.keep_calibration_images()
    for precision, more in (("fp32", ()), ("int8", demo.quantized)):
        words = ("--precision", precision, "--no-baseline", "-o", demo.bundle(precision), *more)
        demo.run("export", demo.tuned, *words)
    data = load_data(load_checkpoint(demo.tuned).data).splits["val"]
    assert len(data) == 360
    answers = []
    for precision in ("fp32", "int8"):
        with ee.load(demo.bundle(precision), providers=["CPUExecutionProvider"]) as session:
            answers.append(predict_bundle(session, data))
            thresholds = [*session.thresholds.values(), 0.0]
    fp32, int8 = answers
    decisions = [it.confidences >= np.array(thresholds)[:, None] for it in answers]
    assert (fp32.labels == int8.labels).mean(axis=1).min() >= 0.99
    assert (decisions[0] == decisions[1]).mean(axis=1).min() >= 0.99
