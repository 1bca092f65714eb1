"""Classify all images of a folder in batches, and write a CSV file.

    python examples/folder_to_csv.py out/ photos/ answers.csv

Needs: pip install './runtime[cpu,images]'
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
from edgeexit_runtime.images.decoding import MAX_PIXELS
from edgeexit_runtime.images.fitting import fit
from edgeexit_runtime.images.folder import find_images
from numpy.typing import NDArray

COLUMNS = ("file", "label", "confidence", "exit")
Pixels = NDArray[np.uint8]
Read = tuple[Path, Pixels]


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify all images of a folder.")
    parser.add_argument("bundle", help="the folder that 'edgeexit export' wrote")
    parser.add_argument("images", type=Path, help="folder, searched with all subfolders")
    parser.add_argument("output", type=Path, help="the CSV file, overwritten")
    parser.add_argument("--batch", type=int, default=32, help="images per batch (default 32)")
    parser.add_argument("--threads", type=int, default=4, help="reading threads (default 4)")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="limit per image")
    options = parser.parse_args()

    found = find_images(options.images)
    paths = [Path(path) for path in found.paths]
    for note in found.notes:
        print(note, file=sys.stderr)
    if not paths:
        sys.exit(f"{options.images}: no images there or below")
    partial = options.output.with_name(options.output.name + ".partial")
    count = 0
    with (
        ee.load(options.bundle) as session,
        ThreadPoolExecutor(options.threads) as pool,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        names = session.manifest.class_names, session.manifest.exit_names
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        preprocessing, limit = session.manifest.preprocessing, options.max_pixels
        for batch in batches(paths, options.batch, lambda p: fit(p, preprocessing, limit), pool):
            result = session.infer(session.preprocess(np.stack([pixels for _, pixels in batch])))
            answers = zip(batch, result.labels, result.confidences, result.exits, strict=True)
            for (path, _), label, confidence, exit_ in answers:
                row = path.relative_to(options.images), names[0][label], f"{confidence:.4f}"
                writer.writerow((*row, names[1][exit_]))
            count += len(batch)
            print(f"{count} of {len(paths)}", file=sys.stderr)
    partial.replace(options.output)  # a file of that name is complete
    print(f"{count} images classified, {len(paths) - count} skipped", file=sys.stderr)


def batches(
    paths: list[Path], size: int, read_one: Callable[[Path], Pixels], pool: ThreadPoolExecutor
) -> Iterator[list[Read]]:
    """Yield the images that can be read, in batches of ``size``; report the others."""

    def read(path: Path) -> Read | None:
        try:
            return path, read_one(path)
        except ee.ImageError as error:
            print(f"skipped {error}", file=sys.stderr)
            return None

    for start in range(0, len(paths), size):
        found = [image for image in pool.map(read, paths[start : start + size]) if image]
        if found:
            yield found


if __name__ == "__main__":
    main()
