"""Train every strategy, teacher and branching pattern on the digits, and write docs/results/.

    python benchmarks/training_results.py [--seeds 5] [--jobs 2] [--runs results] [-o docs/results]

Each run is a folder below ``--runs``. What is finished there is kept and what was interrupted goes
on, so the program may be stopped and started again at any time; the report is written at the end,
from the runs of all seeds.

The setting is made hard on purpose, few and small images, because the digits are easy: with all of
them every method is right on more than 98 %.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SETTING: dict[str, Any] = {
    "backbone": "resnet20",
    "epochs": 20,
    "batch_size": 16,
    "lr": 0.03,
    "device": "cpu",
}
INPUT_SIZE = (3, 16, 16)
HOLD_OUT = 130
PATTERN = "3+1"
PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Method:
    """One row of a table.

    Attributes:
        name: of the row and of the folders of its runs.
        options: fields of the training configuration.
        needs_plain: the field that takes the plain backbone's checkpoint of the same seed.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    needs_plain: str = ""


METHODS = (
    Method(PLAIN, {"branches": "none"}),
    Method("BO", {"strategy": "branches-only"}, needs_plain="init"),
    Method("SW", {"strategy": "stage-wise"}),
    Method("Coop"),
    Method("DK", {"distill": "dk"}, needs_plain="teacher"),
    Method("OFA", {"distill": "ofa"}),
    Method("MED", {"distill": "med"}),
    Method("WED", {"distill": "wed"}),
)
PATTERNS = (
    Method("1+3", {"branches": "1+3"}),
    Method("2+2", {"branches": "2+2"}),
    Method("3+1", {"branches": "3+1"}),
    Method("1+3 without SE", {"branches": "1p+3p"}),
    Method("2+2 without SE", {"branches": "2p+2p"}),
    Method("3+1 without SE", {"branches": "3p+1p"}),
)
SAME = {"3+1": "Coop"}
"""Rows of the second table that are rows of the first."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=Path("results"))
    parser.add_argument("--epochs", type=int, default=SETTING["epochs"])
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    setting = {**SETTING, "epochs": options.epochs}
    train_all(options.runs, options.seeds, options.jobs, setting)


def train_all(runs: Path, seeds: int, jobs: int, setting: dict[str, Any]) -> None:
    """Train what is not trained yet, the plain backbones first, since others start from them."""
    waves = [
        [(METHODS[0], seed) for seed in range(seeds)],
        [(method, seed) for seed in range(seeds) for method in _others()],
    ]
    total, done, start = sum(map(len, waves)), 0, time.monotonic()
    context = multiprocessing.get_context("spawn")
    for wave in waves:
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            waiting: list[Future[str]] = [
                pool.submit(_train, method, seed, runs, setting) for method, seed in wave
            ]
            for future in as_completed(waiting):
                done += 1
                minutes = (time.monotonic() - start) / 60
                print(f"{done}/{total}  {minutes:.1f} min  {future.result()}", flush=True)


def folder(runs: Path, method: str, seed: int) -> Path:
    """Return where the run of a method is."""
    return runs / f"{SAME.get(method, method).replace(' ', '-')}-seed{seed}"


def _others() -> Iterator[Method]:
    yield from METHODS[1:]
    yield from (method for method in PATTERNS if method.name not in SAME)


def _train(method: Method, seed: int, runs: Path, setting: dict[str, Any]) -> str:
    """Bring one run to its end; return a line about it."""
    import torch

    from edgeexit.data import DataConfig
    from edgeexit.training import TrainConfig, train

    torch.set_num_threads(1)
    data = DataConfig("digits", input_size=INPUT_SIZE, hold_out=HOLD_OUT)
    options = {"branches": PATTERN, **setting, **method.options}
    if method.needs_plain:
        options[method.needs_plain] = str(folder(runs, PLAIN, seed) / "ckpt.pt")
    config = TrainConfig(data=data, seed=seed, **options)
    output = folder(runs, method.name, seed)
    result = train(config, output, resume=(output / "last.pt").exists())
    accuracy = "  ".join(f"{name} {share:.4f}" for name, share in result.best.accuracy.items())
    return f"{output.name}: validation {accuracy}"


if __name__ == "__main__":
    main()
