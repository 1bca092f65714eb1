"""Result of a study: accuracies over runs, for each network, stage and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeexit import files
from edgeexit.paper.consistency.record import Fit, StudySettings
from edgeexit.training.comparison import Spread

CSV_COLUMNS = (
    *("network", "control", "stage", "depth", "runs", "accuracy_mean", "accuracy_std"),
    *("unexplained_mean", "unexplained_std", "baseline_accuracy"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One stage and depth of one network.

    Attributes:
        stage: the stage whose features were replaced.
        depth: N.
        accuracy: accuracy of the baseline with the reconstruction, a fraction of the test images.
        unexplained: share of the variance that the reconstruction does not explain.
        accuracies: the accuracy of each run.
    """

    stage: str
    depth: int
    accuracy: Spread
    unexplained: Spread
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class NetworkCells:
    """Results of one network; ``control`` if its features were shuffled across images."""

    name: str
    fingerprint: str
    control: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class ConsistencyReport:
    """The result of a study.

    Attributes:
        baseline: the baseline's name.
        backbone: the backbone of all networks.
        baseline_accuracy: accuracy with its own features, a fraction of the test images.
        settings: settings of all fits.
        runs: number of runs per cell.
        networks: results by network, in the order given.
    """

    baseline: str
    backbone: str
    baseline_accuracy: float
    settings: StudySettings
    runs: int
    networks: tuple[NetworkCells, ...]

    @property
    def stages(self) -> tuple[str, ...]:
        """All stages, in order."""
        return tuple(dict.fromkeys(cell.stage for n in self.networks for cell in n.cells))


def make_cell(stage: str, depth: int, fits: Sequence[Fit]) -> Cell:
    """Return the cell of all runs of one network at ``stage`` and ``depth``."""
    accuracies = tuple(fit.accuracy for fit in fits)
    unexplained = Spread.of([fit.unexplained for fit in fits])
    return Cell(stage, depth, Spread.of(accuracies), unexplained, accuracies)


def write_csv(report: ConsistencyReport, path: Path) -> None:
    """Write one row per network, stage and depth; accuracies are fractions.

    Raises:
        WriteError: the file cannot be written.
    """
    rows = [
        (
            *(network.name, int(network.control), cell.stage, cell.depth, report.runs),
            *(cell.accuracy.mean, cell.accuracy.std, cell.unexplained.mean, cell.unexplained.std),
            report.baseline_accuracy,
        )
        for network in report.networks
        for cell in network.cells
    ]
    files.write_csv(path, CSV_COLUMNS, rows)
