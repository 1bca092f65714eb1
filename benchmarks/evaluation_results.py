"""Thresholds, figures and knowledge consistency on the digits, written to docs/results/.

    python benchmarks/evaluation_results.py [--jobs 2] [--runs results] [-o docs/results]

Networks are trained below ``--runs``, where digits_runs.py has its own; finished runs are kept
and interrupted ones resume. Then the commands of edgeexit are run as a user would run them, and
their output and pictures are put into a report.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from digits_runs import (
    INPUT_SIZE,
    METHODS,
    PLAIN,
    SETTING,
    Method,
    finish_all,
    folder,
    runs_parser,
    train_one,
)
from digits_runs import PATTERNS as ALL_PATTERNS
from evaluation_report import Evaluation, write_report

PATTERNS = ("1+3", "2+2", "3+1")
MARGIN = 0.002
"""Thresholds are compared at the highest accuracy on val that all networks reach, less this."""
MEASUREMENTS = 3
"""Of latency; their spread is reported."""
FULL_SETTING: dict[str, Any] = {
    "backbone": "resnet20",
    "epochs": 12,
    "batch_size": 32,
    "lr": 0.05,
    "device": "cpu",
}
"""On all training images, for knowledge consistency."""
BASELINE_SEED = 0
STUDY = {"depths": "0,1,2,3", "runs": "3", "fit-batch-size": "16"}
MILLION = 10**6


def main() -> None:
    parser = runs_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of each pattern, for consistency")
    parser.add_argument("--epochs", type=int, help="of every training, to try the program out")
    parser.add_argument("--fit-epochs", type=int, help="of every reconstruction, likewise")
    options = parser.parse_args()
    start = time.monotonic()
    short = {} if options.epochs is None else {"epochs": options.epochs}
    fit = {} if options.fit_epochs is None else {"epochs": str(options.fit_epochs)}
    seeds = range(BASELINE_SEED + 1, BASELINE_SEED + 1 + options.seeds)
    train_all(options.runs, seeds, options.jobs, short)
    studies = run_studies(options.runs, seeds, options.jobs, {**STUDY, **fit})
    evaluation = evaluate(options.runs, studies, {**FULL_SETTING, **short}, {**SETTING, **short})
    write_report(options.output, evaluation)
    print(f"{(time.monotonic() - start) / 60:.1f} min")


def train_all(runs: Path, seeds: Sequence[int], jobs: int, short: dict[str, Any]) -> None:
    """Train the missing networks: four on few images, the others on all of them."""
    few = [partial(train_one, method, 0, runs, {**SETTING, **short}) for method in hard_methods()]
    full = [
        partial(train_full, pattern, seed, runs, {**FULL_SETTING, **short})
        for pattern, seed in full_networks(seeds)
    ]
    finish_all([*few, *full], jobs)


def hard_methods() -> list[Method]:
    """Return the methods of digits_runs.py for the plain backbone and the patterns."""
    by_name = {method.name: method for method in (*METHODS, *ALL_PATTERNS)}
    return [by_name[name] for name in (PLAIN, *PATTERNS)]


def full_networks(seeds: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield the networks on all images: the baseline has a seed of its own.

    With the baseline's seed a network would start from the baseline's weights, and be closer to it.
    """
    yield PLAIN, BASELINE_SEED
    for seed in seeds:
        yield from ((name, seed) for name in (PLAIN, *PATTERNS))


def full_folder(runs: Path, name: str, seed: int) -> Path:
    return runs / f"full-{name}-seed{seed}"


def train_full(name: str, seed: int, runs: Path, setting: Mapping[str, Any]) -> str:
    """Finish one run on all training images; return a line about it."""
    import torch

    from edgeexit.data import DataConfig
    from edgeexit.training import TrainConfig, train

    torch.set_num_threads(1)
    branches = "none" if name == PLAIN else name
    data = DataConfig("digits", input_size=INPUT_SIZE)
    config = TrainConfig(branches=branches, data=data, seed=seed, **setting)
    output = full_folder(runs, name, seed)
    result = train(config, output, resume=(output / "last.pt").exists())
    accuracy = "  ".join(f"{exit_} {share:.4f}" for exit_, share in result.best.accuracy.items())
    return f"{output.name}: validation {accuracy}"


def run_studies(
    runs: Path, seeds: Sequence[int], jobs: int, study: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the results of ``edgeexit consistency``: of the baseline itself, then of each seed."""
    baseline = full_folder(runs, PLAIN, BASELINE_SEED)
    options = [text for name, value in study.items() for text in (f"--{name}", value)]

    def run(place: int) -> dict[str, Any]:
        output = runs / ("consistency-itself" if place == 0 else f"consistency-seed{place}")
        names = [baseline] if place == 0 else []
        if place > 0:
            names = [full_folder(runs, name, place) for name in (PLAIN, *PATTERNS)]
        control = ["--control"] if place == 0 else []
        paths = [path / "ckpt.pt" for path in (baseline, *names)]
        report: dict[str, Any] = edgeexit("consistency", *paths, *options, *control, "-o", output)
        print(f"{output.name}: finished", flush=True)
        return report

    with ThreadPoolExecutor(jobs) as pool:  # each waits for a process
        return list(pool.map(run, (0, *seeds)))


def evaluate(
    runs: Path, studies: list[dict[str, Any]], full: dict[str, Any], hard: dict[str, Any]
) -> Evaluation:
    """Tune, calibrate, export, measure and draw the networks that were trained on few images."""
    work = runs / "evaluation"
    work.mkdir(parents=True, exist_ok=True)
    checkpoints = {name: folder(runs, name, 0) / "ckpt.pt" for name in PATTERNS}
    fronts = {name: edgeexit("tune", path)["front"] for name, path in checkpoints.items()}
    highest = min(front[-1]["val"]["accuracy"] for front in fronts.values())
    accuracy = math.floor(1000 * (highest - MARGIN)) / 1000
    limit = ("--min-accuracy", str(accuracy))
    tuned = {}
    for name, checkpoint in checkpoints.items():
        tuned[name] = tune_pattern(name, checkpoint, limit, work)
        print(f"{name}: tuned", flush=True)
    plain = work / PLAIN / "ckpt.pt"
    plain.parent.mkdir(exist_ok=True)
    shutil.copyfile(folder(runs, PLAIN, 0) / "ckpt.pt", plain)
    networks = [work / name for name in (*PATTERNS, PLAIN)]
    figures = edgeexit("figures", *networks, "--accuracy", accuracy, "-o", work / "figures")
    return Evaluation(
        accuracy=accuracy,
        plain={split: edgeexit("eval", plain, "--split", split) for split in ("val", "test")},
        fronts=fronts,
        tuned=tuned,
        figures=figures,
        studies=studies,
        work=work,
        setting={"few images": hard, "all images": full, "input_size": INPUT_SIZE},
    )


def tune_pattern(
    name: str, checkpoint: Path, limit: tuple[str, str], work: Path
) -> dict[str, dict[str, Any] | list[dict[str, Any]]]:
    """Return the output of each command for one network, by the question that it answers."""
    bundle = work / f"bundle-{name}"
    drawn = ("--front", work / f"front-{name}.csv", "--plot", work / f"front-{name}.png")
    output = work / name / "ckpt.pt"
    output.parent.mkdir(exist_ok=True)
    said: dict[str, Any] = {
        "common": edgeexit("tune", checkpoint, *limit, *drawn, "-o", output),
        "own": edgeexit("tune", checkpoint, "--max-drop", 0, "--dry-run"),
        "highest": edgeexit("tune", checkpoint, "--max-cost", 1000 * MILLION, "--dry-run"),
        "calibrated": edgeexit("tune", checkpoint, "--max-drop", 0, "--calibrate", "--dry-run"),
    }
    costs = said["common"]["objective"]
    # a file of costs without branches means that an exit that is off is still run
    still_paid = work / f"branches-always-run-{name}.json"
    kept = {key: costs[key] for key in ("unit", "paths", "baseline")}
    still_paid.write_text(json.dumps({**kept, "unit": "MAC"}), encoding="utf-8")
    said["always run"] = edgeexit("tune", checkpoint, *limit, "--costs", still_paid, "--dry-run")
    cheaper = min(cost for exit_, cost in costs["branches"].items() if exit_ != "final")
    worst = ("--max-path-cost", costs["paths"]["final"] - cheaper)
    said["worst path"] = edgeexit("tune", checkpoint, *limit, *worst, "--dry-run", may_fail=True)
    edgeexit("export", output, "-o", bundle)
    by_bundle = ("tune", "--engine-dir", bundle, *limit, "--threads", 1)
    said["bundle, MACs"] = edgeexit("tune", "--engine-dir", bundle, *limit, "--dry-run")
    said["bundle, ms"] = [
        edgeexit(*by_bundle, "--objective", "latency") for _ in range(MEASUREMENTS)
    ]
    return said


def edgeexit(*words: object, may_fail: bool = False) -> Any:
    """Run a command as a user would, with ``--json``, and return what it prints.

    If a limit cannot be met, which is an exit status of 1, return None where it ``may_fail``.
    """
    line = [sys.executable, "-m", "edgeexit", *map(str, words), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 1 and may_fail:
        return None
    if done.returncode != 0:
        raise SystemExit(f"edgeexit {' '.join(map(str, words))}\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
