"""Costs of the paths to each exit, in MACs or in a measured unit.

Eq. 5 sums multiply-accumulates, but it holds for any additive cost of stages and branches, such as
milliseconds or millijoules. Costs are integer numbers of small steps, so that sums over samples are
exact and settings of equal cost compare equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any

from edgeexit_runtime.gate import saved_costs

from edgeexit.cost import ExitCosts
from edgeexit.errors import DataError

MACS = "MACs"
RESOLUTION = 8  # the largest measured cost keeps at least this many digits
LARGEST = 1e13  # the sum over half a million samples fits in int64


@dataclass(frozen=True, slots=True)
class PathCosts:
    """Cost of every exit path of a network, per sample.

    Attributes:
        exit_names: M names in order, ``final`` last.
        paths: for each exit, the bracket of Eq. 5: all stages and branches up to it, in steps.
        branches: the part of it for the exit's own branch, in steps, which no sample pays if the
            exit is switched off.
        baseline: cost of the plain backbone, in steps; None if unknown.
        unit: unit of the costs, :data:`MACS` or for example ``ms``.
        steps: number of steps per unit.
    """

    exit_names: tuple[str, ...]
    paths: tuple[int, ...]
    branches: tuple[int, ...]
    baseline: int | None
    unit: str = MACS
    steps: int = 1

    def __post_init__(self) -> None:
        if not len(self.exit_names) == len(self.paths) == len(self.branches) > 0:
            raise ValueError(
                f"expected a path and a branch for each of {self.exit_names}, got {self.paths} "
                f"and {self.branches}"
            )

    @classmethod
    def in_macs(cls, cost: ExitCosts) -> PathCosts:
        """Return the costs of Eq. 5 in MACs."""
        return cls(
            tuple(exit_.name for exit_ in cost.exits),
            tuple(exit_.path_macs for exit_ in cost.exits),
            tuple(exit_.branch_macs for exit_ in cost.exits),
            cost.baseline_macs,
        )

    @classmethod
    def measured(
        cls,
        paths: Mapping[str, float],
        branches: Mapping[str, float],
        baseline: float | None,
        unit: str,
    ) -> PathCosts:
        """Return measured costs, given by exit name in ``unit``.

        Args:
            paths: cost of the path to every exit, in order, ``final`` last; finite and above 0.
            branches: cost saved if an exit is switched off; 0 for exits not listed.
            baseline: cost of the plain backbone.
            unit: such as ``ms``.

        Raises:
            DataError: a cost is not a number above 0, a branch has no path or costs more than it,
                or the largest cost is out of range.
        """
        positive = dict(paths)
        if baseline is not None:
            positive["the plain backbone"] = baseline
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise DataError(f"cost of {name}: expected a number of {unit} above 0, got {value}")
        for name, value in branches.items():
            if name not in paths or not 0 <= value < math.inf:
                raise DataError(
                    f"cost of the branch of {name}: expected 0 {unit} or more, for one of "
                    f"{', '.join(paths)}, got {value}"
                )
        _check_branches(paths, branches, unit)
        largest = max(paths.values())
        if not 1 / LARGEST <= largest <= LARGEST:
            raise DataError(
                f"expected the largest cost from {1 / LARGEST:g} to {LARGEST:g} {unit}, got "
                f"{largest:g}; choose another unit"
            )
        digits = math.ceil(math.log10(largest))
        steps = 10 ** max(0, RESOLUTION + 1 - digits)
        return cls(
            tuple(paths),
            tuple(round(value * steps) for value in paths.values()),
            tuple(round(branches.get(name, 0.0) * steps) for name in paths),
            None if baseline is None else round(baseline * steps),
            unit,
            steps,
        )

    @property
    def stages(self) -> tuple[int, ...]:
        """Cost from each exit to the next without its branch, in steps.

        Noise in measured costs may make one negative.
        """
        before = (0, *self.paths[:-1])
        return tuple(
            path - earlier - branch
            for path, earlier, branch in zip(self.paths, before, self.branches, strict=True)
        )

    def paid(self, thresholds: Mapping[str, float]) -> dict[str, float]:
        """Return the cost of a sample that leaves at each exit, in the unit.

        The branches of exits that are switched off (:data:`edgeexit_runtime.gate.NEVER`) do not
        run and cost nothing.
        """
        saved = saved_costs(dict(zip(self.exit_names, self.branches, strict=True)), thresholds)
        return {
            name: (path - saved[name]) / self.steps
            for name, path in zip(self.exit_names, self.paths, strict=True)
        }

    def in_unit(self, steps: float) -> float:
        """Convert a number of steps to the unit."""
        return steps / self.steps

    def show(self, cost: float) -> str:
        """Return a cost in the unit as text for messages; MACs as an integer."""
        return f"{cost:,.0f}" if self.steps == 1 else f"{cost:g}"

    def enough(self, steps: Fraction) -> str:
        """Return a number of steps as text in the unit, rounded up to suffice as a limit."""
        cost = steps / self.steps
        if self.steps == 1:
            return f"{math.ceil(cost):,}"
        # to six digits, as many as :g prints
        scale = Fraction(10) ** (5 - math.floor(math.log10(cost)))
        return f"{float(math.ceil(cost * scale) / scale):g}"

    def in_units(self) -> dict[str, Any]:
        """Return the costs as JSON values, in the format of cost files."""
        paths, branches = (
            {name: value / self.steps for name, value in zip(self.exit_names, values, strict=True)}
            for values in (self.paths, self.branches)
        )
        baseline = None if self.baseline is None else self.baseline / self.steps
        return {"unit": self.unit, "paths": paths, "branches": branches, "baseline": baseline}


def _check_branches(paths: Mapping[str, float], branches: Mapping[str, float], unit: str) -> None:
    """Raise if a path would have a negative cost with all branches on it switched off."""
    *switched, _ = paths  # the last exit cannot be switched off
    together = accumulate((*(branches.get(name, 0.0) for name in switched), 0.0))
    for (name, path), branches_there in zip(paths.items(), together, strict=True):
        if branches_there > path:
            raise DataError(
                f"cost of the branches up to {name}: expected at most the path's {path:g} "
                f"{unit}, which they are part of, got {branches_there:g}"
            )
