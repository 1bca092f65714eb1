"""The program that writes docs/results/, on two methods and one epoch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("sklearn")

Program = Callable[[str], ModuleType]


def test_the_methods_are_the_papers(program: Program) -> None:
    runs = program("digits_runs")
    names = [method.name for method in runs.METHODS]
    assert names == ["plain", "BO", "SW", "Coop", "DK", "OFA", "MED", "WED"]
    assert len(runs.PATTERNS) == 6


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        ([1.0, 1.2, 0.9], "clearly agrees"),
        ([-1.0, -1.2, -0.9], "clearly the other way"),
        ([1.0, -1.2, 0.9], "no significant difference"),
        ([1.0], "no significant difference"),
    ],
)
def test_what_the_seeds_say_of_a_claim(program: Program, points: list[float], verdict: str) -> None:
    assert program("training_results")._verdict(points) == verdict


def test_claims_compare_the_runs_seed_by_seed(program: Program) -> None:
    def group(*teachers: float) -> SimpleNamespace:
        report = SimpleNamespace(exits=[], adaptive_accuracy=0.5)
        runs = [SimpleNamespace(report=report, teacher_accuracy=value) for value in teachers]
        return SimpleNamespace(runs=runs)

    groups = {"WED": group(0.9, 0.95), "OFA": group(0.89, 0.93)}
    (row,) = program("training_results")._claims_table(groups).splitlines()[2:]
    assert "| teacher | WED - OFA | +1.50 ± 0.71 | 2 of 2 |" in row
    assert row.endswith("| no significant difference |")


@pytest.mark.slow
def test_a_report_is_written_from_the_runs(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, results = program("digits_runs"), program("training_results")
    strategies = [m for m in results.METHODS if m.name in ("plain", "Coop", "DK")]
    monkeypatch.setattr(results, "METHODS", strategies)
    monkeypatch.setattr(results, "PATTERNS", [m for m in results.PATTERNS if m.name == "3+1"])
    setting = {**runs.SETTING, "epochs": 1}
    folder = tmp_path / "runs"
    for method in strategies:
        for seed in (0, 1):
            line = runs.train_one(method, seed, folder, setting)
            assert line.startswith(f"{method.name}-seed{seed}: validation ")
    assert runs.train_one(strategies[0], 0, folder, setting), "a finished run is kept"
    groups = [results.compare(folder, methods, 2) for methods in (strategies, results.PATTERNS)]
    results.write_report(tmp_path / "out", *groups, setting, 2)

    figures = json.loads((tmp_path / "out" / "training.json").read_text())
    coop = figures["strategies"]["Coop"]
    assert coop == figures["patterns"]["3+1"]
    text = (tmp_path / "out" / "training.md").read_text()
    shown = f"{100 * coop['accuracy']['exit1']['mean']:.2f} ± "
    assert text.count(f"| Coop | {shown}") == text.count(f"| 3+1 | {shown}") == 1
    assert "there are 138 training images, and\n1300 to choose on" in text
    assert (tmp_path / "out" / "training.png").stat().st_size > 10_000
