"""Classify a camera's frames, with a deadline for each frame.

    python examples/camera.py out/ 0                                # camera 0, in a window
    python examples/camera.py out/ clip.mp4 --output seen.avi       # needs no window
    python examples/camera.py out/ photos/ --deadline-ms 20 --output seen.avi

Needs: pip install './runtime[cpu,images]' opencv-python (opencv-python-headless has no windows)
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import edgeexit_runtime as ee
from edgeexit_runtime.images.folder import find_images

GREEN, ORANGE = (0, 200, 0), (0, 140, 255)


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify a camera's frames.")
    parser.add_argument("bundle", help="the folder that 'edgeexit export' wrote")
    parser.add_argument("source", help="the number of a camera, a video, or a folder of images")
    parser.add_argument("--deadline-ms", type=float, default=33, help="per frame (default 33)")
    parser.add_argument("--output", help="write an .avi instead of opening a window")
    options = parser.parse_args()

    with ee.load(options.bundle) as session:
        reached = session.warm_up()
        print("ms to reach", ", ".join(f"{name} {ms:.2f}" for name, ms in reached.items()))
        show = write_to(options.output) if options.output else show_in_window
        for frame in read(options.source):
            text, cut_short = classify(session, frame, options.deadline_ms)
            print(text, flush=True)
            place, font = (8, frame.shape[0] - 8), cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(frame, text, place, font, 0.5, ORANGE if cut_short else GREEN)
            if not show(frame):
                break
        for exit_ in session.statistics().exits:
            print(f"{exit_.share:.0%} answered by {exit_.name}, {exit_.cut_short} cut short")
        if session.expected is not None:  # similar frames of one scene may raise false alarms
            print(session.drift().sentence)


def classify(session: ee.Session, frame: Any, deadline_ms: float) -> tuple[str, bool]:
    """Return label, confidence, exit and milliseconds as text, and whether it was cut short."""
    start = time.perf_counter()
    image = session.prepare([frame[..., ::-1]])  # OpenCV's colours are BGR
    left = deadline_ms - (time.perf_counter() - start) * 1e3
    result = session.infer(image, deadline_ms=max(left, 1e-3))  # the first exit always answers
    took = (time.perf_counter() - start) * 1e3
    label = session.manifest.class_names[result.labels[0]]
    exit_ = session.manifest.exit_names[result.exits[0]]
    cut_short = result.cut_short is not None and bool(result.cut_short[0])
    return f"{label} {result.confidences[0]:.2f} {exit_} {took:.1f} ms", cut_short


def read(source: str) -> Iterator[Any]:
    """Yield frames (H, W, 3) in BGR."""
    if Path(source).is_dir():
        images = (cv2.imread(path) for path in find_images(source).paths)
        yield from (image for image in images if image is not None)
        return
    video = cv2.VideoCapture(int(source) if source.isdigit() else source)
    video.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # for cameras: the newest frame, not a queue of old ones
    found, frame = video.read()
    if not found:
        sys.exit(f"{source}: no frame can be read; expected a camera, a video or a folder")
    while found:
        yield frame
        found, frame = video.read()
    video.release()


def show_in_window(frame: Any) -> bool:
    cv2.imshow("edgeexit", frame)
    return cv2.waitKey(1) not in (27, ord("q"))  # 27 is Esc


def write_to(file: str) -> Callable[[Any], bool]:
    """Return a function that writes frames to a video of the first one's size."""
    opened: list[Any] = []

    def write(frame: Any) -> bool:
        if not opened:
            size = frame.shape[1::-1]
            opened.append((cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"MJPG"), 30, size), size))
        writer, size = opened[0]
        writer.write(cv2.resize(frame, size))
        return True

    return write


if __name__ == "__main__":
    main()
