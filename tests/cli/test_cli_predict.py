"""``edgeexit predict`` on the benchmark's tiny bundle, whose answers can be read off the pixels."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from edgeexit_runtime import Session, load
from edgeexit_runtime.testing import edit_manifest
from PIL import Image
from support.command_line import Command
from support.messages import missing

LINE = re.compile(r"(.+?)  (\S+)  (\d\.\d{4})  (\S+)  (\d+\.\d\d) ms(  cut short)?")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """``a.png`` leaves at exit1 as a 3, ``deeper/b.png`` at final as a 4."""
    for name, exit_, label in (("a.png", 0, 3), ("deeper/b.png", 1, 4)):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_leaving_at(exit_, label)).save(path)
    return tmp_path / "photos"


def pixels_leaving_at(exit_: int, label: int) -> np.ndarray[Any, Any]:
    """A logit of about 2.1 against nine of -0.9: a confidence of 0.69 there, of 0.1 elsewhere."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels.reshape(-1, 3)[exit_ * 10 + label, 0] = 255
    return pixels


run = Command("predict", "--threads", "1")


def message(result: Result) -> str:
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1].removeprefix("Error: ")


def test_a_line_per_image(bundle: Path, photos: Path) -> None:
    result = run.ok("--engine-dir", bundle, photos)
    first, second = (LINE.fullmatch(line) for line in result.stdout.splitlines())
    assert first is not None
    assert second is not None
    assert first.group(1, 2, 4, 6) == (str(photos / "a.png"), "3", "exit1", None)
    assert second.group(1, 2, 4, 6) == (str(photos / "deeper" / "b.png"), "4", "final", None)
    summary = r"2 images: exit1 1, final 1; \d+\.\d\d ms on average, \d+\.\d\d ms before to read"
    assert re.match(summary, result.stderr)


@pytest.mark.parametrize("deadline", [(), ("--deadline-ms", "1000")])
def test_it_ends_with_whether_images_are_as_expected(
    bundle: Path, photos: Path, tmp_path: Path, deadline: tuple[str, ...]
) -> None:
    assert "drift" not in run("--engine-dir", bundle, photos).stderr  # nothing is expected
    histograms = {"exit1": [0, 0, 0, 500, *[0] * 6], "final": [0, 0, 0, 500, *[0] * 6]}
    expected = {
        "images": 1000,
        "data": "the shelf",
        "thresholds": {"exit1": 0.5},
        "histograms": histograms,
    }
    edit_manifest(bundle, lambda manifest: manifest.update(expected=expected))
    result = run("--engine-dir", bundle, *[photos / "a.png"] * 3, *deadline)
    assert "no drift seen in 3 images" in result.stderr
    result = run("--engine-dir", bundle, *[photos / "a.png"] * 60, *deadline)
    assert "drift: the last 60 images are not like the shelf" in " ".join(result.stderr.split())


def test_names_that_a_terminal_would_obey_are_escaped(bundle: Path, photos: Path) -> None:
    """Class names come from a manifest, file names from whoever sent the photos."""
    names = [f"\x1b[2J{label}\n\ud800" for label in range(10)]
    file = bundle / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "class_names": names}))
    photo = (photos / "a.png").rename(photos / os.fsdecode(b"a\x1b[31m\n\xe9.png"))
    result = run("--engine-dir", bundle, photo)
    assert result.stdout_bytes.decode("ascii").splitlines()[0].split("  ")[:2] == [
        f"{photos}/a\\x1b[31m\\n\\udce9.png",
        "\\x1b[2J3\\n\\ud800",
    ]
    answer = run.json("--engine-dir", bundle, photo)
    assert (answer["source"], answer["label"]) == (str(photo), names[3])


def test_other_files_of_a_folder_are_counted(bundle: Path, photos: Path) -> None:
    for name in ("notes.txt", "deeper/c.heic", "deeper/d.heic", ".DS_Store"):
        (photos / name).touch()
    result = run("--engine-dir", bundle, photos, "--json")
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.splitlines()[0] == f"{photos}: left out 2 .heic, 1 .txt"


def test_json_lines_are_what_the_session_says(bundle: Path, photos: Path) -> None:
    result = run("--engine-dir", bundle, photos / "deeper" / "b.png", photos, "--json")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    names = [photos / "deeper" / "b.png", photos / "a.png", photos / "deeper" / "b.png"]
    assert [answer["source"] for answer in answers] == list(map(str, names))
    with load(bundle, threads=1) as session:
        want = session.infer(session.prepare(names))
    for answer, label, confidence in zip(answers, want.labels, want.confidences, strict=True):
        assert list(answer) == [
            *("source", "label", "index", "confidence", "exit", "ms", "prepare_ms")
        ]
        assert (answer["label"], answer["index"]) == (str(label), label)
        assert answer["confidence"] == pytest.approx(confidence, abs=1e-6)
        assert answer["ms"] > 0


def test_a_deadline_cuts_short_who_is_not_sure(bundle: Path, photos: Path) -> None:
    arguments = ("--engine-dir", bundle, photos, "--deadline-ms", "0.000001")
    answers = [json.loads(line) for line in run(*arguments, "--json").stdout.splitlines()]
    assert [answer["exit"] for answer in answers] == ["exit1", "exit1"]
    assert [answer["cut_short"] for answer in answers] == [False, True]
    result = run(*arguments)
    assert [line.endswith("  cut short") for line in result.stdout.splitlines()] == [False, True]
    assert result.stderr.strip().endswith("; 1 cut short")


def test_damaged_files_are_named_or_skipped_and_counted(bundle: Path, photos: Path) -> None:
    broken = photos / "broken.png"
    broken.write_bytes(b"no image")
    result = run("--engine-dir", bundle, photos)
    assert len(result.stdout.splitlines()) == 1  # what came before it stays
    assert not missing(message(result), str(broken), "UnidentifiedImageError", "--skip-corrupt")
    result = run("--engine-dir", bundle, broken, "--skip-corrupt")
    assert not missing(message(result), "none of 1 files", "nothing was classified")
    result = run.ok("--engine-dir", bundle, photos, "--skip-corrupt", "--json")
    assert len(result.stdout.splitlines()) == 2
    named, summary = result.stderr.splitlines()
    assert named.startswith(f"skipped {broken}: not a readable image")
    assert summary.startswith("2 images: ")
    assert summary.endswith("; 1 skipped")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.png", "there is no file or folder {path}"),
        ("empty", "{path}: expected images in it or in folders below, got none; their names end"),
        ("notes.txt", "{path}: expected an image (.jpg, "),
    ],
)
def test_a_source_that_is_none(bundle: Path, tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    result = run("--engine-dir", bundle, tmp_path / name)
    assert message(result).startswith(expected.format(path=tmp_path / name))
    assert result.stdout == ""
    assert run("--engine-dir", bundle).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--deadline-ms", "0"), "0.0 is not in the range x>0"),
        (("--deadline-ms", "nan"), "deadline_ms: expected milliseconds above 0"),
        (("--backend", "abacus"), "'abacus' is not one of 'auto'"),
        (("--device", "abacus"), "devices are cuda, cpu"),
        (("--providers", "AbacusExecutionProvider"), "providers: AbacusExecutionProvider is not"),
    ],
)
def test_options_that_cannot_be(
    bundle: Path, photos: Path, arguments: tuple[str, ...], expected: str
) -> None:
    result = run("--engine-dir", bundle, photos, *arguments)
    assert result.exit_code != 0
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_answers_come_one_by_one(
    bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is printed before the next image is read."""
    events: list[str] = []
    prepare = Session.prepare
    monkeypatch.setattr(
        Session,
        "prepare",
        lambda self, images, **options: (events.append("read"), prepare(self, images, **options))[
            1
        ],
    )
    monkeypatch.setattr("click.echo", lambda *_, **__: events.append("print"))
    run("--engine-dir", bundle, photos)
    assert events == ["read", "print"] * 2


def test_a_confidence_that_is_no_number_is_shown(
    bundle: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only JSON has no word for it."""
    infer = Session.infer
    monkeypatch.setattr(
        Session,
        "infer",
        lambda self, images, **options: replace(
            infer(self, images, **options), confidences=np.full(1, np.nan, np.float32)
        ),
    )
    lines = run.ok("--engine-dir", bundle, photos).stdout.splitlines()
    assert [line.split("  ")[1:3] for line in lines] == [["3", "nan"], ["4", "nan"]]


# videos


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six frames that OpenCV wrote, the last three brighter."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for value in (50, 50, 50, 200, 200, 200):
        writer.write(np.full((48, 64, 3), (value, 0, 255), np.uint8))  # BGR
    writer.release()
    return path


def test_every_frame_of_a_video(bundle: Path, clip: Path) -> None:
    result = run.ok("--engine-dir", bundle, clip, "--json")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["frame"] for answer in answers] == list(range(6))
    assert result.stderr.startswith("6 images: ")
    assert run("--engine-dir", bundle, clip).stdout.startswith(f"{clip} frame 0  ")


def test_frames_are_rgb(clip: Path) -> None:
    from edgeexit_runtime.images.video import read_frames

    frames = list(read_frames(clip))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 6
    np.testing.assert_allclose(frames[0][24, 32], (255, 0, 50), atol=12)
    np.testing.assert_allclose(frames[5][24, 32], (255, 0, 200), atol=12)


def test_a_damaged_video(bundle: Path, photos: Path, clip: Path) -> None:
    broken = clip.with_name("broken.mp4")
    broken.write_bytes(clip.read_bytes()[:100])
    expected = f"{broken}: not a readable video; replace or remove it"
    assert message(run("--engine-dir", bundle, broken)).startswith(expected)
    result = run("--engine-dir", bundle, broken, photos, "--skip-corrupt")
    assert f"skipped {expected}" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_a_video_without_opencv(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "clip.mp4").touch()
    expected = "OpenCV is not installed: pip install 'edgeexit-runtime[video]'"
    assert message(run("--engine-dir", bundle, tmp_path / "clip.mp4")) == expected


@pytest.mark.parametrize("device", [None, "CPU"])
def test_another_backend_answers_alike(bundle: Path, photos: Path, device: str | None) -> None:
    pytest.importorskip("openvino")
    where = () if device is None else ("--device", device)
    first = run("--engine-dir", bundle, photos, "--json")
    second = run.ok("--engine-dir", bundle, photos, "--json", "--backend", "openvino", *where)
    for one, other in zip(first.stdout.splitlines(), second.stdout.splitlines(), strict=True):
        ours, theirs = json.loads(one), json.loads(other)
        assert (ours["label"], ours["exit"]) == (theirs["label"], theirs["exit"])
