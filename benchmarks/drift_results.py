"""False alarms of session.drift(), and how soon it detects a shift: docs/results/drift.md.

    python benchmarks/drift_results.py [--jobs 2] [--runs results] [-o docs/results]

Answers are those of a network of digits_runs.py, trained below ``--runs`` if it is missing, to
the digits that it was not trained on. Images are drawn from them independently, with replacement,
and counted and tested by the session's own code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from digits_runs import METHODS, SETTING, folder, process_pool, runs_parser, train_one
from edgeexit_runtime import Predictions
from edgeexit_runtime.bundle.expected_entry import Expected
from edgeexit_runtime.field.drift import Drift, find_drift
from edgeexit_runtime.field.statistics import Tally
from numpy.typing import NDArray
from report_files import Row, markdown, write_results

NETWORK = "Coop"  # branches 3+1
THRESHOLDS = {"exit1": 0.75, "exit2": 0.75}
NAMES = ("exit1", "exit2", "final")
LEVELS = (0.01, 0.05)
EXPECTED = (100, 256, 1300)
"""Numbers of images behind the expectation: few, export's default, all of val."""
SESSIONS, LIFE = 500, 50_000
DELAYS, LONGEST = 100, 20_000
BEFORE = (0, 10_000)

REPORT = """# Drift in the field

Written by `make results` (`benchmarks/drift_results.py`); the same figures are in
[drift.json](drift.json). The tables are generated; the comments on them describe the run shown
here.

`session.drift()` tests whether images leave as those did that the bundle was measured on. The
network is ResNet-20 with branches 3+1 and thresholds of 0.75. Images are drawn from its answers to
{pool:,} digits that it was not trained on.

## False alarms

{sessions:,} sessions of {life:,} images each, all from the same source as the expectations, which
are drawn again for each session. The test is run after every 10 images of the first 100, every 100
of the first 1,000, and every 1,000 after that. **Ever seen** is the share of sessions in which any
of these tests reports a drift. **Without intervals** is the same share if the counted shares were
taken as exact, without the intervals for so few images.

{alarms}

The test stays far below its level. Both parts of it are conservative: intervals that hold for all
questions at once, 1 in 1,000, and a capital that is divided among questions and starts. Without the
intervals every session ends in a false alarm, even with 1,300 images expected.

## Time to detection

Images until the first test that reports the shift at a level of 0.01, over {delays} sessions each:
the median and the 90th percentile; never: not within {longest:,}. *From the start*: all images are
shifted. *After 10,000*: that many images as expected come first. Expectations come from {most:,}
images, in the last column from 256. The first columns show the effect of a shift: the share that
leaves at exit1, and the share of all answers that is right.

{shifts}

A shift within the interval of the expectation is never detected, such as noise of 0.1 here, which
costs 0.5 points of accuracy. More expected images (`export --samples`, or `tune --engine-dir`,
which uses all of val) make the interval narrower. The test detects that exits answer differently,
not that answers are wrong.
"""


@dataclass(frozen=True, slots=True)
class Alarms:
    """False alarms at one number of expected images and one level; both are shares of sessions."""

    expected: int
    level: float
    seen: float
    naive: float


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift of the images.

    Attributes:
        name: the change to the images.
        leave_at_exit1, right: shares of the images.
        delays: by the numbers of unshifted images before and of expected images: images until
            each session detected the shift, None where it did not.
    """

    name: str
    leave_at_exit1: float
    right: float
    delays: dict[str, list[int | None]]


def take(answers: Predictions, rng: np.random.Generator, count: int) -> Predictions:
    """Draw answers independently."""
    chosen = rng.integers(0, len(answers.labels), count)
    return Predictions(answers.labels[chosen], answers.confidences[chosen], answers.exits[chosen])


def look(tally: Tally, expected: Expected, level: float) -> Drift:
    """Test as a session does."""
    return find_drift(expected, NAMES, tally.starts(), tally.cells(), level)


def expect(answers: Predictions, rng: np.random.Generator, count: int) -> Expected:
    """Return the expectation from images that are drawn here."""
    return Expected.of(take(answers, rng, count), NAMES, THRESHOLDS, "digits")


def looks(life: int) -> Iterator[int]:
    """Yield the number of images before each test."""
    done = 0
    while done < life:
        step = 10 if done < 100 else 100 if done < 1000 else 1000
        yield min(step, life - done)
        done += step


def lowest_p(answers: Predictions, expected: int, seed: int) -> tuple[float, float]:
    """Return the lowest p-value of a session, and the same if counts are taken as exact."""
    rng = np.random.default_rng(seed)
    said = expect(answers, rng, expected)
    # a million times as many images of the same shares: intervals of no width
    truth = Expected(
        said.images * 10**6,
        said.data,
        said.thresholds,
        {name: tuple(10**6 * n for n in counts) for name, counts in said.histograms.items()},
    )
    tally, lowest, naive = Tally(len(NAMES)), 1.0, 1.0
    for step in looks(LIFE):
        tally.add(take(answers, rng, step), 1)
        lowest = min(lowest, look(tally, said, LEVELS[0]).p_value)
        naive = min(naive, look(tally, truth, LEVELS[0]).p_value)
    return lowest, naive


def delay(
    usual: Predictions, shifted: Predictions, expected: int, before: int, seed: int
) -> int | None:
    """Return the number of shifted images until a test reports the shift."""
    rng = np.random.default_rng(seed)
    said = expect(usual, rng, expected)
    tally = Tally(len(NAMES))
    for _ in range(before // 1000):
        tally.add(take(usual, rng, 1000), 1)
    for seen in range(10, LONGEST + 1, 10):
        tally.add(take(shifted, rng, 10), 1)
        # rarer tests later on delay detection by at most one in twenty
        if seen % (10 * max(1, seen // 200)) == 0 and look(tally, said, LEVELS[0]).seen:
            return seen
    return None


def shifts() -> dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]:
    """Return the shifts by name; each maps images (N, 3, 16, 16) of 0 to 1."""

    def noise(deviation: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        def add(images: NDArray[np.float32]) -> NDArray[np.float32]:
            rng = np.random.default_rng(0)
            noisy = images + deviation * rng.standard_normal(images.shape)
            return np.clip(noisy, 0, 1).astype(np.float32)

        return add

    def blur(times: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        def mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
            for _ in range(times):
                for axis in (2, 3):
                    edge = np.concatenate(
                        [images.take([0], axis), images, images.take([-1], axis)], axis
                    )
                    last = edge.shape[axis]
                    images = sum(
                        np.take(edge, range(first, last - 2 + first), axis) for first in range(3)
                    ) / np.float32(3)
            return images

        return mean

    def dark(factor: float) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        return lambda images: images * np.float32(factor)

    return {
        "none": lambda images: images,
        "noise 0.1": noise(0.1),
        "noise 0.2": noise(0.2),
        "noise 0.3": noise(0.3),
        "blur, 3 pixels": blur(1),
        "blur, 3 times": blur(3),
        "darkened to 0.8": dark(0.8),
        "darkened to 0.6": dark(0.6),
        "darkened to 0.4": dark(0.4),
    }


def network_answers(runs: Path) -> dict[str, tuple[Predictions, float]]:
    """Return answers to the digits, and the share that is right, by shift of the images."""
    import torch

    from edgeexit.data import load_data
    from edgeexit.evaluation import predict, routed
    from edgeexit.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(folder(runs, NETWORK, 0) / "ckpt.pt")
    net, data = checkpoint.build(), load_data(checkpoint.data)
    items = [
        data.splits[split][i] for split in ("val", "test") for i in range(len(data.splits[split]))
    ]
    how = checkpoint.preprocessing
    mean, std = (np.reshape(v, (1, 3, 1, 1)).astype(np.float32) for v in (how.mean, how.std))
    pixels = np.stack([image.numpy() for image, _ in items]) * std + mean
    targets = np.array([target for _, target in items])
    found = {}
    for name, change in shifts().items():
        images = torch.from_numpy((change(pixels) - mean) / std)
        pairs = torch.utils.data.TensorDataset(images, torch.from_numpy(targets))
        answers = routed(predict(net, pairs), THRESHOLDS)
        found[name] = answers, float((answers.labels == targets).mean())
    return found


def main() -> None:
    parser = runs_parser(__doc__)
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of each false alarm rate")
    options = parser.parse_args()
    start = time.monotonic()
    with process_pool(options.jobs) as pool:
        method = next(method for method in METHODS if method.name == NETWORK)
        print(pool.submit(train_one, method, 0, options.runs, SETTING).result(), flush=True)
        answers = network_answers(options.runs)
        usual, _ = answers["none"]
        alarms = []
        for expected in EXPECTED:
            seeds = range(options.sessions)
            lives = [pool.submit(lowest_p, usual, expected, seed) for seed in seeds]
            found = np.array([life.result() for life in lives])
            for level in LEVELS:
                seen, naive = (found <= level).mean(axis=0).tolist()
                alarms.append(Alarms(expected, level, seen, naive))
                print(alarms[-1], flush=True)
        moved = [
            Shift(
                name,
                float((shifted.exits == 0).mean()),
                right,
                {
                    f"{before}, {expected}": list(
                        pool.map(
                            delay,
                            *zip(
                                *[(usual, shifted, expected, before, s) for s in range(DELAYS)],
                                strict=True,
                            ),
                        )
                    )
                    for before, expected in cases()
                },
            )
            for name, (shifted, right) in answers.items()
            if name != "none"
        ]
    write_report(options.output, usual, alarms, moved, options.sessions)
    print(f"{(time.monotonic() - start) / 60:.1f} min")


def cases() -> Iterator[tuple[int, int]]:
    """Yield the numbers of images before a shift and of expected images."""
    for before in BEFORE:
        yield before, EXPECTED[-1]
    yield 0, 256


def write_report(
    output: Path,
    usual: Predictions,
    alarms: Sequence[Alarms],
    moved: Sequence[Shift],
    sessions: int,
) -> None:
    """Write ``drift.md`` and ``drift.json``."""
    head: Row = (
        "images expected",
        "level",
        "ever seen",
        "error of that share",
        "without intervals",
    )
    rows: list[Row] = [
        (
            f"{found.expected:,}",
            f"{found.level:.0%}",
            f"{found.seen:.1%}",
            f"± {2 * math.sqrt(found.level * (1 - found.level) / sessions):.1%}",
            f"{found.naive:.1%}",
        )
        for found in alarms
    ]
    shift_head: Row = (
        *("", "leave at exit1", "right", "from the start", "after 10,000"),
        "from the start, 256 expected",
    )
    shift_rows: list[Row] = [
        (
            *(shift.name, f"{shift.leave_at_exit1:.1%}", f"{shift.right:.1%}"),
            *map(shown, shift.delays.values()),
        )
        for shift in moved
    ]
    usual_row: Row = ("as expected", f"{(usual.exits == 0).mean():.1%}", "", "", "", "")
    text = REPORT.format(
        pool=len(usual.labels),
        sessions=sessions,
        life=LIFE,
        alarms=markdown([head, *rows]),
        delays=DELAYS,
        longest=LONGEST,
        shifts=markdown([shift_head, usual_row, *shift_rows]),
        most=EXPECTED[-1],
    )
    write_results(output, "drift", text, {"alarms": alarms, "shifts": moved})


def shown(delays: Sequence[int | None]) -> str:
    """Return median and 90th percentile as text."""
    ordered = sorted(LONGEST + 1 if found is None else found for found in delays)
    middle, late = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.9))
    return ", ".join("never" if n > LONGEST else f"{n:,}" for n in (middle, late))


if __name__ == "__main__":
    main()
