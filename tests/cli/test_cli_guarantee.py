"""A guarantee on the command line: made by tune, kept in files, shown, and dropped with a word."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.schema import encode
from PIL import Image
from support.command_line import invoke as run
from support.command_line import message
from support.reports import made_report

from edgeexit.bench.render.page.writing import render_page
from edgeexit.cli.output.bench import print_details, print_summary
from edgeexit.cli.terminal import console
from edgeexit.training.checkpoint import load_checkpoint

ASKED = ("--max-drop", "0.1", "--confidence", "0.9")


@pytest.fixture(scope="module")
def tuned(checkpoint: Path) -> Path:
    result = run.ok("tune", checkpoint, *ASKED)
    assert (
        "Guaranteed: a drop in accuracy against the last exit of at most 0.1 with confidence"
        in (result.stdout)
    )
    assert "tested from safe to cheap on the other 180" in " ".join(result.stdout.split())
    return checkpoint.with_name("ckpt.tuned.pt")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundles") / "fp32")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def test_a_checkpoint_keeps_what_was_shown(tuned: Path) -> None:
    loaded = load_checkpoint(tuned)
    guarantee = loaded.guarantee
    assert guarantee is not None
    assert (guarantee.risk, guarantee.target, guarantee.confidence) == ("drop", 0.1, 0.9)
    assert (guarantee.images, guarantee.data) == (180, "digits, val")
    assert guarantee.thresholds == loaded.thresholds
    assert loaded.metrics["tuning"]["guarantee"]["passed"] >= 1


def test_eval_and_inspect_show_it(tuned: Path) -> None:
    for command in ("eval", "inspect"):
        result = run.ok(command, tuned)
        assert "Guaranteed: a drop in accuracy" in result.stdout, command
        assert "at most 0.1 with confidence 0.9" in result.stdout, command
        assert run.json(command, tuned)["guarantee"] == encode(load_checkpoint(tuned).guarantee)


def test_other_thresholds_have_none(tuned: Path) -> None:
    result = run("eval", tuned, "--thresholds", "0.3,0.4")
    assert "Not guaranteed: a drop in accuracy" in result.stdout
    own = load_checkpoint(tuned).thresholds
    assert all(name in result.stdout for name in own)
    assert run.json("eval", tuned, "--thresholds", "0.3,0.4")["guarantee"] is None


@pytest.mark.parametrize("name", ["ckpt.tuned.pt", "ckpt.pt"])
def test_tuning_anew_drops_it_with_a_word(
    checkpoint: Path, tuned: Path, tmp_path: Path, name: str
) -> None:
    copy = Path(shutil.copy(tuned, tmp_path / "ckpt.tuned.pt"))
    shutil.copy(checkpoint, tmp_path / "ckpt.pt")
    result = run.ok("tune", tmp_path / name, "--max-drop", "0.3")
    assert "Not guaranteed: a drop in accuracy" in result.stderr
    assert "dropped" in result.stderr
    assert load_checkpoint(copy).guarantee is None
    again = run("tune", copy, "--max-drop", "0.3")
    assert "guaranteed" not in again.stderr


def test_a_bundle_keeps_it_and_shows_it(bundle: Path) -> None:
    result = run.ok("tune", "--engine-dir", bundle, "--max-disagreement", "0.3", "--device", "cpu")
    manifest = ee.load_manifest(bundle)
    assert manifest.guarantee is not None
    assert manifest.guarantee.risk == "disagreement"
    assert manifest.guarantee.holds_for(manifest.thresholds)
    shown = run("inspect", bundle)
    assert "Guaranteed: a disagreement with the last exit of at most 0.3" in shown.stdout
    assert run.json("inspect", bundle)["guarantee"] == encode(manifest.guarantee)

    path = bundle / "manifest.json"  # by hand
    changed = json.loads(path.read_text(encoding="utf-8"))
    changed["exits"][0]["threshold"] = 0.123
    path.write_text(json.dumps(changed), encoding="utf-8")
    assert "Not guaranteed: a disagreement" in run("inspect", bundle).stdout

    result = run("tune", "--engine-dir", bundle, "--max-drop", "0.3", "--device", "cpu")
    assert "Not guaranteed: a disagreement" in result.stderr
    assert ee.load_manifest(bundle).guarantee is None


def test_export_keeps_it_for_the_same_answers_alone(tuned: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "fp16"):
        folder = tmp_path / precision
        result = run.ok("export", tuned, "--precision", precision, "-o", folder, "--engine", "none")
        kept = ee.load_manifest(folder).guarantee
        if precision == "fp32":
            assert kept == load_checkpoint(tuned).guarantee
            assert "not guaranteed" not in result.stderr
        else:
            assert kept is None
            assert "not guaranteed in fp16: a drop in accuracy" in result.stderr
            again = f"tune --engine-dir {folder}/ --max-drop 0.1 --confidence 0.9"
            assert again in result.stderr


def write_images(folder: Path, count: int, classes: bool) -> Path:
    """Write test digits as files, in class folders or in one."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if number == count:
            break
        place = folder / str(label) if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(place / f"{number}.png")
    return folder


def test_images_of_the_devices_own_without_labels(bundle: Path, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 120, classes=False)
    asked = ("tune", "--engine-dir", bundle, "--images", photos, "--device", "cpu")
    result = run.ok(*asked, "--max-disagreement", "0.3")
    assert "as the last exit does" in result.stdout
    assert "without labels" in result.stdout
    guarantee = ee.load_manifest(bundle).guarantee
    assert guarantee is not None
    assert (guarantee.images, guarantee.data) == (60, str(photos))
    expected = ee.load_manifest(bundle).expected
    assert expected is not None
    assert (expected.images, expected.data) == (120, str(photos))
    assert run("predict", "--engine-dir", bundle, photos).stderr.endswith(
        "no drift seen in 120 images (p 1)\n"
    )
    found = run.json(*asked, "--max-disagreement", "0.3", "--dry-run")
    assert (found["chosen_on"], found["labelled"]) == ("images", False)
    assert found["images"]["backbone_accuracy"] == 1  # it agrees with itself

    for risk in ("error", "drop"):
        refused = message(run(*asked, f"--max-{risk}", "0.3", "--confidence", "0.9"))
        assert f"--max-{risk} needs labels" in refused
        assert "--max-disagreement" in refused


def test_images_in_class_folders_have_labels(bundle: Path, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 120, classes=True)
    asked = ("tune", "--engine-dir", bundle, "--images", photos, "--device", "cpu", "--dry-run")
    found = run.json(*asked, "--max-error", "0.7")
    assert found["labelled"] is True
    assert (found["guarantee"]["images"], found["guarantee"]["confidence"]) == (60, 0.95)
    assert "front" not in found
    assert 0 < found["images"]["backbone_accuracy"] < 1
    (photos / "0").rename(photos / "zero")
    assert "'zero' is no class of the bundle" in message(run(*asked, "--max-error", "0.7"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--max-drop", "0.1", "--confidence", "95"), "above 0 and below 1 such as 0.95, got '95'"),
        (("--max-drop", "0.1", "--confidence", "0"), "above 0 and below 1 such as 0.95, got '0'"),
        (("--max-drop", "0.1", "--confidence", "sure"), "such as 0.95, got 'sure'"),
        (("--confidence", "0.9"), "--max-drop, --max-error or --max-disagreement, got none"),
        (("--max-drop", "0.1", "--max-error", "0.1"), "needs exactly one risk"),
        (("--max-error", "0"), "above 0 and below 1, got 0.0"),
        (("--max-disagreement", "1"), "above 0 and below 1, got 1.0"),
        (("--max-error", "0.1", "--min-accuracy", "0.95"), "give --max-error 0.05 alone"),
        (("--max-error", "0.1", "--max-cost", "1M"), "--max-cost does not go with a guarantee"),
        (("--max-error", "0.1", "--plot", "a.png"), "--plot does not go with a guarantee"),
        (("--max-error", "0.1", "--front", "a.csv"), "--front does not go with a guarantee"),
        (("--max-drop", "0.1", "--images", "photos"), "or --max-drop with --confidence"),
        (("--max-error", "0.1", "--images", "photos"), "--images goes with --engine-dir"),
        (("--max-drop", "0.01", "--confidence", "0.95"), "give 598 or more"),
    ],
)
def test_what_cannot_be_promised_is_one_line(
    checkpoint: Path, words: tuple[str, ...], told: str
) -> None:
    result = run("tune", checkpoint, *words)
    assert told in message(result)


def test_images_take_the_place_of_a_data_set(bundle: Path, tmp_path: Path) -> None:
    asked = ("tune", "--engine-dir", bundle, "--max-disagreement", "0.3")
    told = message(run(*asked, "--images", tmp_path, "--dataset", "digits"))
    assert "does not go with --images, which replaces the data set" in told
    assert "no folder" in message(run(*asked, "--images", tmp_path / "nowhere"))
    assert "expected images" in message(run(*asked, "--images", tmp_path))


def test_a_damaged_guarantee_is_one_line(bundle: Path) -> None:
    path = bundle / "manifest.json"
    damaged = json.loads(path.read_text(encoding="utf-8"))
    damaged["guarantee"] = {"risk": "drop", "target": 0.02}
    path.write_text(json.dumps(damaged), encoding="utf-8")
    for words in (("inspect", bundle), ("bench", "--engine-dir", bundle)):
        assert "guarantee.confidence: missing" in message(run(*words))


def test_bench_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    report = made_report()
    kept = Guarantee("drop", 0.02, 0.95, 180, 0.011, "digits, val", report.bundle.thresholds)
    for thresholds, told in (
        (report.bundle.thresholds, "Guaranteed: a drop in accuracy against the last exit of at"),
        (dict.fromkeys(report.bundle.thresholds, 0.11), "Not guaranteed: a drop in accuracy"),
    ):
        bundle = dataclasses.replace(report.bundle, guarantee=kept, thresholds=thresholds)
        shown = dataclasses.replace(report, bundle=bundle)
        for show in (print_summary, print_details):
            show(shown, console())
            assert told in " ".join(capsys.readouterr().out.split())
        assert told in render_page(shown)
