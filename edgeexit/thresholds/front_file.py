"""The front on validation samples, and the same settings on test samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexit.evaluation.adaptive import leaving_exits
from edgeexit.evaluation.path_costs import MACS
from edgeexit.evaluation.predictions import ExitPredictions
from edgeexit.files import write_csv
from edgeexit.thresholds.front import Front, Setting


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A setting with its results on ``val`` and on ``test``."""

    val: Setting
    test: Setting


def front_points(front: Front, test: ExitPredictions) -> list[FrontPoint]:
    """Evaluate every setting of the front on test samples."""
    samples = np.arange(len(test.targets))
    points = []
    for setting in front:
        left_at = leaving_exits(test, setting.thresholds)
        paid = np.array([*front.costs.paid(setting.thresholds).values()])
        accuracy = float(test.correct[left_at, samples].mean())
        evaluated = Setting(setting.thresholds, accuracy, float(paid[left_at].mean()))
        points.append(FrontPoint(setting, evaluated))
    return points


def spread_points(front: Front, count: int) -> list[int]:
    """Return up to ``count`` indices into the front, evenly spaced in cost, both ends included."""
    wanted = np.linspace(front.cost[0], front.cost[-1], count)
    nearest = np.abs(front.cost[:, None] - wanted).argmin(axis=0)
    return [int(place) for place in np.unique(nearest)]


def write_front(path: Path, front: Front, points: Sequence[FrontPoint]) -> None:
    """Write one line of CSV per setting, from the cheapest to the most accurate, atomically.

    A threshold of 2 means that the exit is switched off.
    """
    unit = "macs" if front.costs.unit == MACS else front.costs.unit  # keeps case: mJ is not MJ
    names = front.costs.exit_names[:-1]
    columns = [f"{name}_threshold" for name in names]
    for split in ("val", "test"):
        columns += [f"{split}_accuracy", f"{split}_average_{unit}"]
    rows = []
    for point in points:
        row: list[float] = [point.val.thresholds[name] for name in names]
        for setting in (point.val, point.test):
            row += [setting.accuracy, setting.average_cost]
        rows.append(row)
    write_csv(path, columns, rows)
