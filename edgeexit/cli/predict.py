"""``edgeexit predict``: classifies images and video frames with a bundle, one by one."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from edgeexit_runtime.errors import printable

from edgeexit.cli.options.backend import BundleBackendOptions
from edgeexit.cli.options.fields import PATH, argument, flag, option, takes
from edgeexit.cli.options.shared import ABOVE_0, engine_dir_option, max_pixels_option
from edgeexit.cli.terminal import print_notes, progress_bar, remark

if TYPE_CHECKING:
    from edgeexit_runtime import Session
    from edgeexit_runtime.images.fitting import ImageSource


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """The images, the bundle, and the form of the output."""

    sources: tuple[Path, ...] = argument(None, nargs=-1, required=True, type=PATH)
    engine_dir: Path = engine_dir_option()
    deadline_ms: float | None = option(
        "Milliseconds per image, after which the best answer so far is given.", type=ABOVE_0
    )
    as_json: bool = flag("Print one JSON object per image.", "--json")
    skip_corrupt: bool = flag("Report, count and skip files that cannot be read.")
    max_pixels: int | None = max_pixels_option()


@click.command("predict")
@takes(PredictOptions)
@takes(BundleBackendOptions)
def command(options: PredictOptions, backend: BundleBackendOptions) -> None:
    """Classify images, images in folders and their subfolders, and frames of videos.

    Each image is preprocessed as the bundle requires, and run alone. Its line shows label,
    confidence, exit and the milliseconds of the run, without reading and resizing. With a
    deadline, "cut short" marks images that would have continued to the next exit. Videos need
    OpenCV: pip install 'edgeexit[video]'. After images, a last line compares their exits with
    those of the images that the bundle was verified or tuned on.

    \b
    Examples:
      edgeexit predict --engine-dir out/ cat.jpg photos/
      edgeexit predict --engine-dir out/ clip.mp4 --deadline-ms 10 --json > answers.jsonl
    """
    import edgeexit_runtime as ee
    from edgeexit_runtime.images.decoding import MAX_PIXELS
    from edgeexit_runtime.images.folder import has_image_suffix

    from edgeexit.errors import DataError

    limit, as_json = options.max_pixels or MAX_PIXELS, options.as_json
    files = _files(options.sources)
    tally = _Tally()
    with ee.load(options.engine_dir, **backend.arguments) as session, progress_bar() as bar:
        session.warm_up()  # otherwise the first image would include the start-up
        # no bar where answers go to the screen: they show the progress
        task = bar.add_task("", total=len(files), visible=not sys.stdout.isatty())
        for path in files:
            try:
                for frame, image in _images_of(path):
                    answer = _predict(session, path, frame, image, options.deadline_ms, limit)
                    tally.add(answer)
                    shown = json.dumps(answer, allow_nan=False) if as_json else _line(answer)
                    click.echo(shown)
                    bar.update(task, description=f"{tally.count} images")
            except ee.ImageError as error:
                if not options.skip_corrupt:
                    raise DataError(f"{error}; --skip-corrupt continues without") from error
                tally.skipped += 1
                remark(f"skipped {error}")
            bar.advance(task)
    if tally.count == 0:
        raise DataError(f"none of {tally.skipped} files can be read; nothing was classified")
    remark(tally.summary(session.manifest.exit_names))
    if session.expected is not None and all(has_image_suffix(path.name) for path in files):
        remark(session.drift().sentence)  # frames are not independent


@dataclass(slots=True)
class _Tally:
    """Totals over all answers."""

    exits: Counter[str] = field(default_factory=Counter)
    infer_ms: float = 0.0
    prepare_ms: float = 0.0
    cut_short: int = 0
    skipped: int = 0

    @property
    def count(self) -> int:
        return sum(self.exits.values())

    def add(self, answer: dict[str, Any]) -> None:
        self.exits[answer["exit"]] += 1
        self.infer_ms += answer["ms"]
        self.prepare_ms += answer["prepare_ms"]
        self.cut_short += answer.get("cut_short", False)

    def summary(self, exit_names: tuple[str, ...]) -> str:
        exits = ", ".join(f"{name} {self.exits[name]}" for name in exit_names)
        text = (
            f"{self.count} images: {exits}; {self.infer_ms / self.count:.2f} ms on average, "
            f"{self.prepare_ms / self.count:.2f} ms before to read and resize"
        )
        for number, what in ((self.cut_short, "cut short"), (self.skipped, "skipped")):
            text += f"; {number} {what}" if number else ""
        return text


def _files(sources: tuple[Path, ...]) -> list[Path]:
    """Return every file to read, with folders replaced by the images in them.

    Raises:
        DataError: a source does not exist, or is neither images nor a video.
    """
    from edgeexit_runtime.images.folder import IMAGE_SUFFIXES
    from edgeexit_runtime.images.video import VIDEO_SUFFIXES

    from edgeexit.errors import DataError
    from edgeexit.images.files import find_images
    from edgeexit.paths import is_file, is_folder

    files: list[Path] = []
    for source in sources:
        if is_folder(source):
            found = find_images(source)
            print_notes(found.notes)
            files += map(Path, found.paths)
        elif not is_file(source):
            raise DataError(f"there is no file or folder {source}")
        elif source.suffix.lower() not in IMAGE_SUFFIXES + VIDEO_SUFFIXES:
            raise DataError(
                f"{source}: expected an image ({', '.join(IMAGE_SUFFIXES[:5])}, ...), a video "
                f"({', '.join(VIDEO_SUFFIXES[:5])}, ...) or a folder with images"
            )
        else:
            files.append(source)
    return files


def _images_of(path: Path) -> Iterator[tuple[int | None, ImageSource]]:
    """Yield the image in a file, or each frame of a video with its number from 0."""
    from edgeexit_runtime.images.folder import has_image_suffix
    from edgeexit_runtime.images.video import read_frames

    if has_image_suffix(path.name):
        yield None, path
        return
    # OpenCV's decoders also write errors to stderr, which are reported here in one line
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    yield from enumerate(read_frames(path))


def _predict(
    session: Session,
    path: Path,
    frame: int | None,
    image: ImageSource,
    deadline_ms: float | None,
    max_pixels: int,
) -> dict[str, Any]:
    from edgeexit_runtime.timing.calls import time_call

    wait = session.runner.synchronize
    prepare_ms, images = time_call(lambda: session.prepare([image], max_pixels=max_pixels), wait)
    ms, result = time_call(lambda: session.infer(images, deadline_ms=deadline_ms), wait)
    label = int(result.labels[0])
    return {
        "source": str(path),
        **({} if frame is None else {"frame": frame}),
        "label": session.manifest.class_names[label],
        "index": label,
        "confidence": round(float(result.confidences[0]), 6),
        "exit": session.manifest.exit_names[result.exits[0]],
        "ms": round(ms, 4),
        "prepare_ms": round(prepare_ms, 4),
        **({} if result.cut_short is None else {"cut_short": bool(result.cut_short[0])}),
    }


def _line(answer: dict[str, Any]) -> str:
    name = answer["source"] + (f" frame {answer['frame']}" if "frame" in answer else "")
    cut = "  cut short" if answer.get("cut_short") else ""
    return printable(
        f"{name}  {answer['label']}  {answer['confidence']:.4f}  {answer['exit']}  "
        f"{answer['ms']:.2f} ms{cut}"
    )
