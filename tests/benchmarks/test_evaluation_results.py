"""The program that writes docs/results/evaluation.md, on little data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from edgeexit_runtime.bundle.schema import encode

from edgeexit.paper.consistency import Cell, ConsistencyReport, FitSettings, NetworkCells
from edgeexit.paper.consistency.record import StudySettings
from edgeexit.training.comparison import Spread

Program = Callable[[str], ModuleType]


def study(
    accuracies: dict[str, tuple[float, float]], control: float | None = None
) -> dict[str, Any]:
    """Return a study of one stage and N = 0, two runs of each network."""

    def network(name: str, values: tuple[float, ...], shuffled: bool) -> NetworkCells:
        lost = Spread.of([1 - value for value in values])
        cell = Cell("stage1", 0, Spread.of(values), lost, values)
        return NetworkCells(name, "f", shuffled, (cell,))

    networks = [network(name, values, False) for name, values in accuracies.items()]
    if control is not None:
        networks.append(network("plain, shuffled", (control, control), True))
    settings = StudySettings("b", "digits", None, (3, 16, 16), 1078, 359, FitSettings())
    report = ConsistencyReport("plain", "resnet20", 0.98, settings, 2, tuple(networks))
    value: dict[str, Any] = encode(report)
    return value


STUDIES = [
    study({"plain": (0.98, 0.97)}, control=0.1),
    study({"1+3": (0.90, 0.92), "3+1": (0.95, 0.97)}),
    study({"1+3": (0.94, 0.94), "3+1": (0.98, 0.98)}),
]


def test_the_spread_of_a_pattern_is_over_its_trainings(program: Program) -> None:
    knowledge = program("knowledge").pool_studies(STUDIES)
    rows = knowledge.rows("accuracy")
    assert rows[0] == ["after", "features of", "N = 0", "std of fits"]
    assert rows[1] == ("stage1", "the baseline, its own", "98.00", "")
    assert rows[2] == ("stage1", "the baseline itself", "97.50 ± 0.71", "0.71")
    # of 91 and 94; fits of a network differ by sqrt(2) points in one study, by 0 in the other
    assert rows[3] == ("stage1", "1+3", "92.50 ± 2.12", "0.71")
    assert rows[4] == ("stage1", "3+1", "97.00 ± 1.41", "0.71")
    assert knowledge.control == "10.0 to 10.0"
    assert knowledge.report.runs == 2


def test_patterns_are_compared_seed_by_seed(program: Program) -> None:
    _, row = program("knowledge").pool_studies(STUDIES).differences()
    # 96 - 91 and 98 - 94
    assert row[:3] == ["stage1", "3+1 - 1+3", "+4.50 ± 0.71"]
    assert row[3] == "no (p = 0.07)"
    assert row[4] == "-4.50 ± 0.71"


@pytest.mark.parametrize(
    ("points", "expected"),
    [([1.0, 1.1, 0.9], "yes (p = 0.0033)"), ([1.0, -1.1, 0.9], "no (p = 0.73)"), ([1.0], "no")],
)
def test_a_difference_is_above_what_seeds_make(
    program: Program, points: list[float], expected: str
) -> None:
    assert program("knowledge")._apart(points) == expected


def answer(gammas: tuple[float, float], shares: tuple[float, float, float]) -> dict[str, Any]:
    names = ("exit1", "exit2", "final")
    exits = [{"name": n, "share": s} for n, s in zip(names, shares, strict=True)]
    test = {"exits": exits, "adaptive_accuracy": 0.9, "macs_ratio": 0.5}
    return {
        "thresholds": {"exit1": gammas[0], "exit2": gammas[1]},
        "test": test,
        "val": {"adaptive_accuracy": 0.91},
        "intervals": {"test": {"adaptive_accuracy": {"low": 0.85, "high": 0.95}}},
        "objective": {
            "unit": "ms",
            "paths": {"exit1": 1.0, "exit2": 2.0, "final": 3.0},
            "branches": {"exit1": 0.25, "exit2": 0.5, "final": 0.0},
            "baseline": 2.0,
        },
    }


def test_both_choices_are_judged_at_the_same_times(program: Program) -> None:
    report = program("evaluation_report")
    said: dict[str, Any] = {
        "bundle, MACs": answer((0.5, 0.75), (0.5, 0.25, 0.25)),
        "bundle, ms": [answer((0.5, 2.0), (0.5, 0.0, 0.5))],
    }
    said["bundle, MACs"]["front"] = [{"thresholds": {"exit1": 0.5, "exit2": 0.75}}]
    said["bundle, ms"][0]["front"] = [{"thresholds": {"exit1": 0.5, "exit2": 2.0}}]
    said["bundle, ms"] *= 2
    by_macs, by_time = report.objective_rows("3+1", said)
    assert by_macs == (
        *("3+1", "MACs", "0.500", "0.750", "50.0 / 25.0 / 25.0", "90.00 [85.0, 95.0]", "0.500"),
        f"{(0.5 * 1 + 0.25 * 2 + 0.25 * 3) / 2:.3f} ± 0.000",
        "",
    )
    # exit2 is off: those who go on do not pay its branch
    assert by_time[:4] == ("3+1", "ms, 2 of 2 times", "0.500", "off")
    assert by_time[-2:] == (f"{(0.5 * 1 + 0.5 * (3 - 0.5)) / 2:.3f} ± 0.000", "1 of 1")


def test_an_accuracy_out_of_reach_is_told(program: Program) -> None:
    report = program("evaluation_report")
    chosen = answer((0.5, 2.0), (0.5, 0.0, 0.5))
    chosen |= {"average_cost": {"val": 1.0}, "front": [chosen, answer((0.5, 0.7), (1, 0, 0))]}
    always = {**chosen, "average_cost": {"val": 1.5}}
    (row,) = report.switching_rows(
        "3+1", {"common": chosen, "always run": always, "worst path": None}
    )
    assert row == ("3+1", 2, 0, 1, "0.500 / off", "0.500", "0.750", "cannot be reached", "")


@pytest.mark.slow
def test_the_report_is_written(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    results = program("evaluation_results")
    monkeypatch.setattr(results, "PATTERNS", ("3+1",))
    monkeypatch.setattr(results, "MEASUREMENTS", 1)
    monkeypatch.setattr(results, "STUDY", {"depths": "0,1", "runs": "1", "fit-batch-size": "64"})
    options = ["--seeds", "2", "--epochs", "2", "--fit-epochs", "1", "--jobs", "2"]
    folders = ["--runs", str(tmp_path / "runs"), "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["evaluation_results.py", *options, *folders])
    results.main()

    text = (tmp_path / "out" / "evaluation.md").read_text()
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    for row in figures["tables"]["front"]:
        assert f"| {' | '.join(row)} |" in text
    pictures = {path.name for path in (tmp_path / "out" / "evaluation").glob("*.png")}
    assert pictures >= {"tune-3+1.png", "front.png", "patterns.png", "consistency.png"}
    assert all(f"](evaluation/{name})" in text for name in pictures)
    assert str(tmp_path) not in text + json.dumps(figures)
