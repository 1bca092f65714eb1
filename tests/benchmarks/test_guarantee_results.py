"""Promises are kept: the simulation of benchmarks/guarantee_results.py, and its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from edgeexit_runtime.bundle.guarantee_entry import DROP, RISKS

from edgeexit.statistics.risk import LossCounts, binomial_p

Program = Callable[[str], ModuleType]


@pytest.mark.parametrize("risk", RISKS)
def test_a_few_draws(program: Program, risk: str) -> None:
    """Of 100 draws 5 may break the promise, and 13 do so once in a thousand times."""
    results = program("guarantee_results")
    population = results.made_up("graded")
    target = results.half_target(population, risk)
    found = results.simulate(population, risk, target, 600, 100)
    assert found.broken <= 0.12
    assert found.plain_broken > 0.15, "without a guarantee a limit is a coin's throw"
    assert found.plain_cost < found.cost <= 1.1


@pytest.mark.slow
@pytest.mark.parametrize("images", [400, 1000, 4000])
@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("name", ["flat", "graded"])
def test_promises_are_kept(program: Program, name: str, risk: str, images: int) -> None:
    """Over 2,000 draws at most 5 % are broken, and what the draws themselves may be off by."""
    results = program("guarantee_results")
    population = results.made_up(name)
    target = results.half_target(population, risk)
    found = results.simulate(population, risk, target, images)
    assert found.draws == 2000
    assert found.broken <= 0.05 + results.sampling_error(2000)
    assert found.plain_broken > 0.2


def test_a_population_knows_its_own_risk(program: Program) -> None:
    """Everyone leaves at once: 8 % lost and 4 % gained of all images, as it was made."""
    population = program("guarantee_results").made_up("flat")
    counts = population.risk({"exit1": 0.0}, DROP)
    assert counts.lost / counts.images == pytest.approx(0.08, abs=0.01)
    assert counts.gained / counts.images == pytest.approx(0.04, abs=0.01)
    assert population.risk({"exit1": 2.0}, DROP).risk == 0
    assert population.cost({"exit1": 2.0}) == 1.0
    assert population.cost({"exit1": 0.0}) == 0.4


def test_hoeffding_and_bentkus(program: Program) -> None:
    """Their p-value is never below the binomial tail, nor above e times it."""
    hoeffding_bentkus = program("guarantee_results").hoeffding_bentkus
    for images, lost in ((50, 0), (200, 0), (200, 1), (650, 5), (4000, 60)):
        tail = binomial_p(LossCounts(images, lost), 0.02)
        p_value = hoeffding_bentkus(lost / images, images, 0.02)
        assert tail * (1 - 1e-9) <= p_value <= min(1.0, 2.71829 * tail)
    assert hoeffding_bentkus(0.0, 100, 0.02) == pytest.approx(0.98**100)


def test_the_report(program: Program, tmp_path: Path) -> None:
    results = program("guarantee_results")
    population = results.made_up("graded")
    simulated = [results.simulate(population, DROP, 0.05, 400, 3)]
    digits = [("3+1", "2 points", "0.474", "0.28", "0.559", "0.28", "1.18")]
    results.write_report(tmp_path, simulated, digits, population)
    text = (tmp_path / "guarantee.md").read_text(encoding="utf-8")
    assert "| graded | drop | 0.05 | 400 |" in text
    assert "| 3+1 | 2 points | 0.474 | 0.28 | 0.559 | 0.28 | 1.18 |" in text
    values = json.loads((tmp_path / "guarantee.json").read_text(encoding="utf-8"))
    assert values["simulated"][0]["images"] == 400
    for row in values["bounds"][1:]:
        hb, mapped, binomial, betting = row[2:]
        assert "never" in (hb, binomial) or int(binomial.replace(",", "")) <= int(
            hb.replace(",", "")
        )
        assert int(mapped.replace(",", "")) > int(betting.replace(",", ""))
