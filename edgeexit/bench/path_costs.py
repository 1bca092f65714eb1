"""Measured costs of exit paths, read from a file.

The file is a report of ``edgeexit bench --json`` or the user's own JSON object, in any unit::

    {"unit": "mJ",
     "paths": {"exit1": 1.2, "exit2": 2.5, "final": 4.1},
     "branches": {"exit1": 0.4, "exit2": 0.3},
     "baseline": 3.2}

``paths`` holds the cost of a sample that leaves at each exit, with all earlier branches run.
``branches`` (optional) holds each branch's share of it, saved when its exit is switched off.
``baseline`` (optional) is the cost of the plain backbone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeexit_runtime.bundle.schema import SchemaError, decode

from edgeexit.bench.results.report import BenchReport, load_report
from edgeexit.bench.timing.paths import PathTimes
from edgeexit.cost import ExitCosts
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


def path_costs(exits: ExitCosts, file: Path | None) -> tuple[PathCosts, str]:
    """Return the cost of each exit of a network, from a file or else Eq. 5, and its source.

    Raises:
        DataError: see :func:`load_costs`.
    """
    if file is None:
        return PathCosts.in_macs(exits), "Eq. 5"
    return load_costs(file, tuple(exit_.name for exit_ in exits.exits)), str(file)


def load_costs(file: Path, exit_names: tuple[str, ...]) -> PathCosts:
    """Read the costs of the exits of a network.

    Args:
        file: a report or a JSON object as above.
        exit_names: of the network, in order.

    Raises:
        DataError: the file is missing or of neither kind, or has other exits.
    """
    value = _read(file)
    if isinstance(value, dict) and "schema_version" in value:
        costs = measured_costs(load_report(file))
    else:
        costs = _own(file, value)
    if costs.exit_names != exit_names:
        raise DataError(
            f"{file}: expected the costs of {', '.join(exit_names)} in this order, got those of "
            f"{', '.join(costs.exit_names)}; measure the network that is tuned"
        )
    return costs


def measured_costs(times: BenchReport | PathTimes) -> PathCosts:
    """Return a benchmark's times in ms: medians of the paths, 10th percentiles of the branches.

    Branches are timed alone, at other moments than the paths. On a busy machine the median of a
    branch may exceed that of a path that contains it; its 10th percentile hardly ever does.

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
