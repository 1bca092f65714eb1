"""What scores.md says: means over seeds, and which scores are told apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from edgeexit.statistics import Interval
from edgeexit.thresholds.score_areas import ScoreArea

Program = Callable[[str], ModuleType]


def area(score: str, value: float, above: float) -> ScoreArea:
    return ScoreArea(
        score, Interval(value, value, value), Interval(above, above, above), Interval(1, 1, 1)
    )


def test_the_report_says_which_score_is_told_apart(program: Program, tmp_path: Path) -> None:
    results = program("score_results")
    found = [
        [area("softmax", 0.9, 0), area("entropy", 0.91, 0.01 + wander), area("margin", 0.9, wander)]
        for wander in (-0.001, 0.001, 0.0)
    ]
    results.write_report(tmp_path, found)
    text = (tmp_path / "scores.md").read_text(encoding="utf-8")
    assert "**`entropy` is better than `softmax`.**" in text
    assert "+1.00 [+0.75, +1.25]" in text
    kept = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert len(kept["seeds"]) == 3
    assert results.verdict({"margin": Interval(0, -1, 1)}).endswith("none is better")
