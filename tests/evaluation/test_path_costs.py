from __future__ import annotations

import pytest
from edgeexit_runtime.gate import NEVER

from edgeexit.cost import ExitCost, ExitCosts
from edgeexit.errors import DataError
from edgeexit.evaluation import PathCosts

EXITS = (
    ExitCost("exit1", backbone_macs=10, branch_macs=4, path_macs=14),
    ExitCost("exit2", backbone_macs=25, branch_macs=3, path_macs=32),
    ExitCost("final", backbone_macs=40, branch_macs=1, path_macs=48),
)


def test_equation_5() -> None:
    costs = PathCosts.in_macs(ExitCosts(EXITS))
    assert (costs.paths, costs.branches, costs.stages) == ((14, 32, 48), (4, 3, 1), (10, 15, 15))
    assert (costs.baseline, costs.unit, costs.steps) == (41, "MACs", 1)


def test_the_plain_backbone_may_be_cheaper_than_the_last_exit() -> None:
    costs = PathCosts.in_macs(ExitCosts(EXITS, plain_macs=30))
    assert costs.baseline == 30


@pytest.mark.parametrize(
    ("thresholds", "paid"),
    [
        ({"exit1": 0.5, "exit2": 0.5}, (14, 32, 48)),
        ({"exit1": NEVER, "exit2": 0.5}, (10, 28, 44)),
        ({"exit1": 0.5, "exit2": NEVER}, (14, 29, 45)),
        ({"exit1": NEVER, "exit2": NEVER}, (10, 25, 41)),
        ({"exit1": 1.5, "exit2": 0}, (14, 32, 48)),  # nobody leaves there, but it is run
    ],
)
def test_branches_that_are_off_are_not_paid(
    thresholds: dict[str, float], paid: tuple[int, ...]
) -> None:
    got = PathCosts.in_macs(ExitCosts(EXITS)).paid(thresholds)
    assert got == dict(zip(("exit1", "exit2", "final"), paid, strict=True))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e4, 1e12])
def test_measured_costs_keep_their_digits(scale: float) -> None:
    paths = {"exit1": 0.123456789 * scale, "final": 1.75 * scale}
    costs = PathCosts.measured(paths, {"exit1": 0.05 * scale}, 1.5 * scale, "ms")
    never = costs.paid({"exit1": NEVER})
    assert costs.paid({"exit1": 0.5}) == pytest.approx(paths, rel=1e-8)
    assert never["final"] == pytest.approx(1.70 * scale, rel=1e-8)
    assert costs.in_unit(costs.baseline or 0) == pytest.approx(1.5 * scale, rel=1e-8)
    assert costs.in_units()["branches"] == pytest.approx({"exit1": 0.05 * scale, "final": 0})


@pytest.mark.parametrize(
    ("paths", "branches", "baseline", "message"),
    [
        ({"exit1": 0.0, "final": 1.0}, {}, None, "cost of exit1: expected .* above 0, got 0.0"),
        ({"exit1": 1.0, "final": float("inf")}, {}, None, "cost of final: .*got inf"),
        ({"final": 1.0}, {}, -1.0, "cost of the plain backbone: .*got -1.0"),
        ({"final": 1.0}, {"exit1": 1.0}, None, "branch of exit1: .*for one of final, got 1.0"),
        ({"final": 1.0}, {"final": -1.0}, None, "branch of final: expected 0 mJ or more"),
    ],
)
def test_costs_that_are_none(
    paths: dict[str, float], branches: dict[str, float], baseline: float | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        PathCosts.measured(paths, branches, baseline, "mJ")


def test_a_path_and_a_branch_for_each_exit() -> None:
    with pytest.raises(ValueError, match="expected a path and a branch for each"):
        PathCosts(("exit1", "final"), (1, 2), (1,), None)
