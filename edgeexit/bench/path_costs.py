"""Costs of exit paths that were measured, from a file.

Two kinds are read: what ``edgeexit bench --json`` writes, and a JSON object of the user's own, in
any unit::

    {"unit": "mJ",
     "paths": {"exit1": 1.2, "exit2": 2.5, "final": 4.1},
     "branches": {"exit1": 0.4, "exit2": 0.3},
     "baseline": 3.2}

``paths`` has what a sample pays that leaves at each exit, all branches before it run. ``branches``,
which may be left out, has what each branch is of it: saved where its exit is switched off.
``baseline``, which may be left out too, is the plain backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeexit_runtime.bundle.schema import SchemaError, decode

from edgeexit.bench.results.report import BenchReport, load_report
from edgeexit.bench.timing.paths import PathTimes
from edgeexit.cost import ExitCost
from edgeexit.errors import DataError
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.files import read_json
from edgeexit.statistics.percentiles import p10


@dataclass(frozen=True, slots=True)
class _CostFile:
    unit: str
    paths: dict[str, float]
    branches: dict[str, float] = field(default_factory=dict)
    baseline: float | None = None


def path_costs(exits: Sequence[ExitCost], file: Path | None) -> tuple[PathCosts, str]:
    """Return what the exits of a network cost, of a file or else Eq. 5's, and where that is from.

    Raises:
        DataError: see :func:`load_costs`.
    """
    if file is None:
        return PathCosts.in_macs(exits), "Eq. 5"
    return load_costs(file, tuple(exit_.name for exit_ in exits)), str(file)


def load_costs(file: Path, exit_names: tuple[str, ...]) -> PathCosts:
    """Read the costs of the exits of a network.

    Args:
        file: of one of the two kinds above.
        exit_names: of the network, in order.

    Raises:
        DataError: the file is missing or of neither kind, or has other exits.
    """
    value = _read(file)
    if isinstance(value, dict) and "schema_version" in value:
        costs = measured_costs(load_report(file))
    else:
        costs = _own(file, value)
    if sorted(costs.exit_names) != sorted(exit_names):
        raise DataError(
            f"{file}: expected the costs of {', '.join(exit_names)}, got those of "
            f"{', '.join(costs.exit_names)}; measure the network that is tuned"
        )
    if costs.exit_names != exit_names:
        raise DataError(
            f"{file}: expected the exits in the order {', '.join(exit_names)}, got "
            f"{', '.join(costs.exit_names)}"
        )
    return costs


def measured_costs(times: BenchReport | PathTimes) -> PathCosts:
    """Return a benchmark's milliseconds: medians of the paths, quick calls of their branches.

    A branch is timed by itself, at other moments than the paths. On a busy machine its median may
    come out above that of a path that it is a part of; its quick calls hardly ever do.

    Raises:
        DataError: the machine was so busy that the times contradict each other.
    """
    try:
        return PathCosts.measured(
            {path.name: path.latency.p50_ms for path in times.paths},
            {part.name: p10(part.times_ms) for part in times.parts if part.kind == "branch"},
            times.baseline.latency.p50_ms,
            "ms",
        )
    except DataError as error:
        raise DataError(
            f"the measured times contradict each other ({error}): the machine was too busy; "
            "measure again on a quiet one, with --threads 1 or a longer --duration"
        ) from error


def _own(file: Path, value: Any) -> PathCosts:
    try:
        content = decode(_CostFile, value)
        if not content.unit.strip() or not content.unit.isprintable():
            raise SchemaError(f"unit: expected a word such as mJ, got {content.unit!r}")
        if not content.paths:
            raise SchemaError("paths: expected one cost per exit, got none")
    except SchemaError as error:
        raise DataError(
            f"{file}: neither a report of 'edgeexit bench --json' nor costs such as "
            f'{{"unit": "mJ", "paths": {{"exit1": 1.2, "final": 4.1}}}} ({error})'
        ) from error
    try:
        return PathCosts.measured(content.paths, content.branches, content.baseline, content.unit)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except ValueError as error:
        raise DataError(
            f"{file}: {error}; give a report of 'edgeexit bench --json', or costs as 'edgeexit "
            "tune --help' shows"
        ) from error
