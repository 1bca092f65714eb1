"""The camera loop and the batch job run as a user runs them; all examples are short."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """``a.png`` leaves at exit1 as a 3, ``deeper/b.png`` at final as a 4."""
    for name, position in (("a.png", 3), ("deeper/b.png", 14)):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels.reshape(-1, 3)[position, 0] = 255
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_every_example_is_short_and_says_what_it_needs() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [file.name for file in files] == ["camera.py", "folder_to_csv.py"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 140
        assert "\nNeeds: pip install './runtime[cpu,images]'" in text
        assert "import torch" not in text
        assert "edgeexit." not in text, "a device has the runtime alone"


# the batch job


def test_batch_job_writes_a_line_per_image(bundle: Path, photos: Path) -> None:
    output = photos.parent / "answers.csv"
    (photos / "broken.png").write_bytes(b"no image")
    latin = os.fsdecode(b"deeper/\xe9.png")  # a name that is not UTF-8
    (photos / latin).write_bytes((photos / "a.png").read_bytes())
    result = run(EXAMPLES / "folder_to_csv.py", bundle, photos, output, "--batch", "2")
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(os.fsdecode(output.read_bytes()).splitlines()))
    assert [(row["file"], row["label"], row["exit"]) for row in rows] == [
        ("a.png", "3", "exit1"),
        ("deeper/b.png", "4", "final"),
        (latin, "3", "exit1"),
    ]
    assert 0.5 < float(rows[0]["confidence"]) < 0.9
    assert f"skipped {photos / 'broken.png'}: not a readable image" in result.stderr
    assert result.stderr.splitlines()[-1] == "3 images classified, 1 skipped"
    assert sorted(path.name for path in photos.parent.glob("answers*")) == ["answers.csv"]


def test_batch_job_without_images(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(EXAMPLES / "folder_to_csv.py", bundle, tmp_path / "empty", tmp_path / "out.csv")
    assert result.returncode == 1
    assert result.stderr.strip() == f"{tmp_path / 'empty'}: no images there or below"
    assert not (tmp_path / "out.csv").exists()


# the camera loop


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five frames of a video."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for value in range(0, 250, 50):
        writer.write(np.full((240, 320, 3), value, np.uint8))
    writer.release()
    return path


def test_camera_loop_draws_on_every_frame_of_a_video(
    bundle: Path, clip: Path, tmp_path: Path
) -> None:
    import cv2

    output = tmp_path / "seen.avi"
    result = run(EXAMPLES / "camera.py", bundle, clip, "--output", output)
    assert result.returncode == 0, result.stderr
    first, *lines = result.stdout.splitlines()
    lines, shares = lines[:-2], lines[-2:]
    assert first.startswith("ms to reach exit1 ")
    assert [share.split()[3] for share in shares] == ["exit1,", "final,"]
    assert len(lines) == 5
    assert all(line.split()[2] in ("exit1", "final") for line in lines)
    video = cv2.VideoCapture(str(output))
    for _ in range(5):
        found, frame = video.read()
        assert found
        assert frame.shape == (240, 320, 3)
        assert frame[215:, :200].std() > 5 > frame[:200].std()  # the text is at the bottom
    assert not video.read()[0]


def test_camera_loop_keeps_to_a_deadline(bundle: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    arguments = (bundle, photos, "--output", tmp_path / "seen.avi", "--deadline-ms", "0.001")
    result = run(EXAMPLES / "camera.py", *arguments)
    assert result.returncode == 0, result.stderr
    *frames, share, _ = result.stdout.splitlines()[1:]
    assert [line.split()[2] for line in frames] == ["exit1", "exit1"]
    assert share.startswith("100% answered by exit1")


def test_camera_that_is_not_there(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    result = run(EXAMPLES / "camera.py", bundle, tmp_path / "none.mp4")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("expected a camera, a video or a folder")
