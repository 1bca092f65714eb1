"""Whether memory grows over 200,000 inferences.

    python benchmarks/soak.py [--calls 200000] [--bundles FOLDER]

:meth:`Session.infer` is called on ResNet-20 3+1 with batches of random size (mostly one image) that
leave at mixed exits, some with a deadline. Thresholds change with every window of calls, and the
session is closed and opened again with every fourth. Resident memory is read after every window,
after a garbage collection. The first third is discarded, while allocators settle. The growth is the
slope of a line through the rest (Theil-Sen: the median of all slopes).

Memory held by Python itself is also counted, by tracemalloc, over a part of the run.
"""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
from edgeexit_runtime import Session, load
from goals import Figure, finish, parser_of
from numpy.typing import NDArray
from random_bundles import bundle_of, split_thresholds

from edgeexit.models import make_spec
from edgeexit.planning.candidates import noise

GOAL_BYTES_PER_CALL = 16.0
GOAL_TRACED_BYTES = 20_000
WINDOWS = 48
WINDOWS_PER_SESSION = 4
TRACED_SHARE = 0.05
PIXELS = 16
SIZES = (1, 1, 1, 1, 1, 2, 3, 5, 8, 13)
LARGEST = 32
STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Soak:
    """Result of a soak test: resident bytes after each window, and the calls of one window."""

    rss_bytes: tuple[int, ...]
    calls_per_window: int
    inferences: int
    exits: tuple[int, ...]
    traced_bytes: int

    @property
    def bytes_per_call(self) -> float:
        return slope(self.rss_bytes[len(self.rss_bytes) // 3 :]) / self.calls_per_window


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--calls", type=int, default=200_000)
    options = parser.parse_args()
    spec = make_spec("resnet20", "3+1", 10, (3, PIXELS, PIXELS))
    with bundle_of(f"resnet20-{PIXELS}", spec, options.bundles) as folder:
        found = soak(folder, options.calls, options.seed)
    finish(f"soak of {options.calls:,} calls, ResNet-20 3+1", figures_of(found), options.json)


def figures_of(found: Soak) -> list[Figure]:
    """Return the growth with its goals."""
    rss = [value / 2**20 for value in found.rss_bytes]
    note = f"{rss[len(rss) // 3]:.1f} MiB after a third, {rss[-1]:.1f} at the end"
    exits = "/".join(f"{count:,}" for count in found.exits)
    return [
        Figure(
            "growth of resident memory",
            found.bytes_per_call,
            "bytes per call",
            GOAL_BYTES_PER_CALL,
            note=note,
        ),
        Figure("kept by Python", found.traced_bytes, "bytes", GOAL_TRACED_BYTES),
        Figure("inferences", found.inferences, "images", note=f"by exit {exits}"),
    ]


def soak(folder: Path, calls: int, seed: int, windows: int = WINDOWS) -> Soak:
    """Classify in ``calls`` calls, and watch memory.

    Raises:
        ValueError: too few calls for so many windows.
    """
    per_window = calls // windows
    if per_window < 1 or windows < 6:
        raise ValueError(f"expected 6 windows of a call or more, got {windows} of {calls} calls")
    rng = np.random.default_rng(seed)
    rss = []
    session = load(folder, threads=1)
    try:
        exits = np.zeros(len(session.manifest.exits), np.int64)
        images = noise(LARGEST, session.manifest.preprocessing.input_size, seed)
        confidences = session.infer_all_exits(images).confidences
        for window in range(windows):
            if window % WINDOWS_PER_SESSION == 0:
                session.close()
                session = load(folder, threads=1)
                session.infer(images)
            set_thresholds(session, confidences, rng)
            exits = exits + infer_many(session, images, per_window, rng)
            gc.collect()
            rss.append(resident_bytes())
        traced = traced_growth(session, images, max(1, int(calls * TRACED_SHARE)), rng)
    finally:
        session.close()
    return Soak(tuple(rss), per_window, int(exits.sum()), tuple(exits.tolist()), traced)


def set_thresholds(
    session: Session,
    confidences: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    """Make a random share of the images leave at each exit."""
    names = session.manifest.exit_names[:-1]
    shares = rng.multinomial(LARGEST, np.full(len(names) + 1, 1 / (len(names) + 1)))
    leaving = dict(zip(names, map(int, shares), strict=False))
    session.thresholds = split_thresholds(confidences, leaving)


def infer_many(
    session: Session,
    images: NDArray[np.float32],
    calls: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Classify in the given number of calls; return how many images left at each exit."""
    left = np.zeros(len(session.manifest.exits), np.int64)
    sizes = rng.choice(SIZES, calls)
    starts = rng.integers(0, LARGEST - max(SIZES), calls)
    for number, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        deadline_ms = 1000.0 if number % 8 == 0 else None
        batch = images[start : start + size]
        result = session.infer(batch, deadline_ms=deadline_ms)
        left += np.bincount(result.exits, minlength=len(left))
    return left


def traced_growth(
    session: Session,
    images: NDArray[np.float32],
    calls: int,
    rng: np.random.Generator,
) -> int:
    """Return by how many bytes Python's memory grows over as many calls again."""
    tracemalloc.start()
    try:
        held = []
        for _ in range(2):
            infer_many(session, images, calls, rng)
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        return held[1] - held[0]
    finally:
        tracemalloc.stop()


def slope(values: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs of values, per step."""
    return median(
        (later - earlier) / (second - first)
        for (first, earlier), (second, later) in combinations(enumerate(values), 2)
    )


def resident_bytes() -> int:
    """Return the memory of this process that is in use now; Linux only.

    Raises:
        FileNotFoundError: the system does not report it.
    """
    pages = int(STATM.read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
