"""The program that compares pooled branches, on figures that are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

Program = Callable[[str], ModuleType]


def test_a_report_has_every_figure_seed_by_seed(program: Program, tmp_path: Path) -> None:
    flat = {"adaptive, 0.5 of the cost": [0.9, 0.91], "exit1": [0.8, 0.81]}
    pooled = {"adaptive, 0.5 of the cost": [0.9, 0.93], "exit1": [0.84, 0.85]}
    ratios = {"exit1": {"macs": 0.95, "FP32": 0.9, "INT8 cpu": 0.8}}
    program("pooled_results").write_report(tmp_path, [flat, pooled], ratios, {"epochs": 3}, 2)
    text = (tmp_path / "pooled.md").read_text(encoding="utf-8")
    row = "| exit1 | 80.50 ± 0.71 | 84.50 ± 0.71 | +4.00 [+4.00, +4.00] | 3g+1g is better |"
    assert row in text
    assert text.index(row) < text.index("| adaptive, 0.5 of the cost |")
    assert "[-11.71, +13.71] | no significant difference |" in text
    assert "| exit1 | 0.950 | 0.900 | 0.800 |" in text
    figures = json.loads((tmp_path / "pooled.json").read_text(encoding="utf-8"))
    assert figures["accuracy"]["3g+1g"] == pooled
    assert figures["ratios"] == ratios
