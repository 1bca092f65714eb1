"""Scores on the command line: chosen by tune and export, kept in files, compared, refused."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.command_line import invoke as run
from support.command_line import message

from edgeexit.data import DataConfig, load_data
from edgeexit.training.checkpoint import load_checkpoint

DATA = DataConfig("digits", input_size=(3, 8, 8))


@pytest.fixture
def checkpoint(tiny_file: Path) -> Path:
    return tiny_file


def refused(*words: object) -> str:
    return message(run(*words))


@pytest.mark.parametrize("score", ["margin", "entropy"])
def test_a_score_goes_from_tune_to_the_bundle(checkpoint: Path, tmp_path: Path, score: str) -> None:
    found = run.json("tune", checkpoint, "--score", score, "--max-drop", "0.1")
    tuned = checkpoint.with_name("ckpt.tuned.pt")
    assert load_checkpoint(tuned).score == score
    assert run.json("inspect", tuned)["score"] == score
    evaluated = run.json("eval", tuned)
    assert evaluated["adaptive_accuracy"] == found["test"]["adaptive_accuracy"]

    folder = tmp_path / "out"
    run.ok("export", tuned, "-o", folder, "--engine", "none")
    assert run.json("inspect", folder)["score"] == score
    test = load_data(DATA).splits["test"]
    images = np.stack([image.numpy() for image, _ in test])
    with ee.load(folder, providers=("CPUExecutionProvider",), threads=1) as session:
        assert session.manifest.score == score
        exits = session.infer(images).exits
    shares = [exit_["share"] for exit_ in found["test"]["exits"]]
    assert np.bincount(exits, minlength=3) / len(exits) == pytest.approx(shares, abs=0.01)

    single = tmp_path / "single.onnx"
    run.ok("pack", folder, "-o", single)
    assert run.json("inspect", single)["score"] == score


def test_export_with_another_score_says_that_thresholds_are_of_the_old_one(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    result = run.ok("export", checkpoint, "--score", "margin", "-o", folder, "--engine", "none")
    told = "thresholds are for the score softmax, the bundle's is margin"
    assert told in result.stderr
    assert f"tune --engine-dir {folder}/" in result.stderr
    again = run("export", checkpoint, "--score", "softmax", "-o", folder, "--engine", "none")
    assert "thresholds are for" not in again.stderr
    assert "part of a bundle's graphs" in refused(
        "tune", "--engine-dir", folder, "--score", "margin"
    )


def test_all_scores_are_compared(checkpoint: Path) -> None:
    found = run.json("tune", checkpoint, "--score", "all")["scores"]
    assert [*found] == ["softmax", "entropy", "margin"]
    for area in found.values():
        assert area["area"]["low"] <= area["area"]["value"] <= area["area"]["high"]
    assert found["softmax"]["over_softmax"]["value"] == 0
    assert not checkpoint.with_name("ckpt.tuned.pt").exists()
    shown = run.ok("tune", checkpoint, "--score", "all")
    for word in ("softmax", "entropy", "margin", "points"):
        assert word in shown.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--score", "luck"), "score 'luck'"),
        (
            ("--score", "all", "--max-drop", "0.1"),
            "does not go with --score all, which only compares",
        ),
        (("--score", "all", "--calibrate"), "--calibrate does not go with --score all"),
        (("--score", "all", "--plot", "a.png"), "--plot does not go with --score all"),
    ],
)
def test_what_does_not_go_together(checkpoint: Path, words: tuple[str, ...], told: str) -> None:
    assert told in refused("tune", checkpoint, *words)


def test_the_papers_figures_are_of_softmax(checkpoint: Path, tmp_path: Path) -> None:
    run.ok("tune", checkpoint, "--score", "margin", "--max-drop", "0.3")
    told = refused("figures", checkpoint.with_name("ckpt.tuned.pt"), "-o", tmp_path / "figures")
    assert "expected the score softmax" in told
