"""The program that writes docs/results/, on two methods and one epoch."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("sklearn")

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "training_results.py"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("training_results", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "training_results", module)
    spec.loader.exec_module(module)
    return module


def test_the_methods_are_the_papers(program: ModuleType) -> None:
    names = [method.name for method in program.METHODS]
    assert names == ["plain", "BO", "SW", "Coop", "DK", "OFA", "MED", "WED"]
    assert len(program.PATTERNS) == 6


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        ([1.0, 1.2, 0.9], "clearly agrees"),
        ([-1.0, -1.2, -0.9], "clearly the other way"),
        ([1.0, -1.2, 0.9], "no significant difference"),
        ([1.0], "no significant difference"),
    ],
)
def test_what_the_seeds_say_of_a_claim(
    program: ModuleType, points: list[float], verdict: str
) -> None:
    assert program._verdict(points) == verdict


def test_claims_compare_the_runs_seed_by_seed(program: ModuleType) -> None:
    def group(*teachers: float) -> SimpleNamespace:
        report = SimpleNamespace(exits=[], adaptive_accuracy=0.5)
        runs = [SimpleNamespace(report=report, teacher_accuracy=value) for value in teachers]
        return SimpleNamespace(runs=runs)

    table = program._claims_table({"WED": group(0.9, 0.95), "OFA": group(0.89, 0.93)})
    (row,) = table.splitlines()[2:]
    assert "| teacher | WED - OFA | +1.50 ± 0.71 | 2 of 2 |" in row
    assert row.endswith("| no significant difference |")


@pytest.mark.slow
def test_a_report_is_written_from_the_runs(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategies = [m for m in program.METHODS if m.name in ("plain", "Coop", "DK")]
    monkeypatch.setattr(program, "METHODS", strategies)
    monkeypatch.setattr(program, "PATTERNS", [m for m in program.PATTERNS if m.name == "3+1"])
    setting = {**program.SETTING, "epochs": 1}
    runs = tmp_path / "runs"
    for method in strategies:
        for seed in (0, 1):
            line = program.train_one(method, seed, runs, setting)
            assert line.startswith(f"{method.name}-seed{seed}: validation ")
    assert program.train_one(strategies[0], 0, runs, setting), "a finished run is kept"
    groups = [program.compare(runs, methods, 2) for methods in (strategies, program.PATTERNS)]
    program.write_report(tmp_path / "out", *groups, setting, 2)

    figures = json.loads((tmp_path / "out" / "training.json").read_text())
    coop = figures["strategies"]["Coop"]
    assert coop == figures["patterns"]["3+1"]
    text = (tmp_path / "out" / "training.md").read_text()
    shown = f"{100 * coop['accuracy']['exit1']['mean']:.2f} ± "
    assert text.count(f"| Coop | {shown}") == text.count(f"| 3+1 | {shown}") == 1
    assert "there are 138 training images, and\n1300 to choose on" in text
    assert (tmp_path / "out" / "training.png").stat().st_size > 10_000
