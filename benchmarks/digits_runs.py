"""Networks trained on the digits, which all programs that write docs/results/ share.

Each run is a folder below ``--runs``. Finished runs there are kept and interrupted ones resume, so
a program may be stopped and started again at any time.

The setting is deliberately hard, with few and small images, because the digits are easy: with all
of them every method is right on more than 98 %.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
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


def runs_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options of programs that need networks trained on the digits."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--runs", type=Path, default=Path("results"))
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/results"))
    return parser


def results_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options of programs that train every network with several seeds."""
    parser = runs_parser(description)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=SETTING["epochs"])
    return parser


def train_all(groups: Sequence[Sequence[Method]], options: argparse.Namespace) -> dict[str, Any]:
    """Train the missing networks, one group with all its seeds after another.

    Args:
        groups: methods; those of a later group may start from networks of an earlier one.
        options: of :func:`results_parser`.

    Returns:
        The setting of the trainings.
    """
    setting = {**SETTING, "epochs": options.epochs}
    for group in groups:
        runs = [
            partial(train_one, method, seed, options.runs, setting)
            for seed in range(options.seeds)
            for method in group
        ]
        finish_all(runs, options.jobs)
    return setting


def finish_all(tasks: Sequence[Callable[[], str]], jobs: int) -> None:
    """Call functions, ``jobs`` at a time in processes of their own; print what each returns."""
    start = time.monotonic()
    with process_pool(jobs) as pool:
        waiting: list[Future[str]] = [pool.submit(task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                minutes = (time.monotonic() - start) / 60
                print(f"{done}/{len(tasks)}  {minutes:.1f} min  {future.result()}", flush=True)
        except BaseException:  # Ctrl-C as well: pending runs must not start
            pool.shutdown(cancel_futures=True)
            raise


def process_pool(jobs: int) -> ProcessPoolExecutor:
    """Return a pool of processes that do not inherit the threads of this one."""
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def folder(runs: Path, method: str, seed: int) -> Path:
    """Return the folder of a method's run."""
    return runs / f"{SAME.get(method, method).replace(' ', '-')}-seed{seed}"


def train_one(method: Method, seed: int, runs: Path, setting: dict[str, Any]) -> str:
    """Finish one run; return a line about it."""
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
