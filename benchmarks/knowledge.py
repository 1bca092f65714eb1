"""Pool several studies of knowledge consistency whose networks differ in their seed."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from report_files import Row, spread

if TYPE_CHECKING:
    from edgeexit.paper.consistency import Cell, ConsistencyReport, NetworkCells

ITSELF = "the baseline itself"
PLAIN, OTHERS = "plain", "plain, other seeds"
ALPHA = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Knowledge:
    """All studies.

    Attributes:
        report: each kind of network with the mean and spread over its seeds; ``runs`` are seeds.
        itself: the baseline's features reconstructed from themselves, spread over fits.
        control: accuracy with shuffled features, as text.
        by_seed: the studies, one per training seed.
    """

    report: ConsistencyReport
    itself: NetworkCells
    control: str
    by_seed: tuple[ConsistencyReport, ...]

    @property
    def drawn(self) -> ConsistencyReport:
        """The pooled networks with the baseline itself before them."""
        return replace(self.report, networks=(self.itself, *self.report.networks))

    def rows(self, figure: str) -> list[Row]:
        """Return a row per stage and network, and a column per N, in percent.

        Args:
            figure: ``accuracy`` or ``unexplained``.
        """
        depths = sorted({cell.depth for cell in self.itself.cells})
        head = ["after", "features of", *(f"N = {depth}" for depth in depths), "std of fits"]
        rows: list[Row] = [head]
        own = f"{100 * self.report.baseline_accuracy:.2f}"
        for stage in self.report.stages:
            if figure == "accuracy":
                rows.append((stage, "the baseline, its own", *([own] * len(depths)), ""))
            for network in (self.itself, *self.report.networks):
                spreads = [getattr(cell, figure) for cell in network.cells if cell.stage == stage]
                shown = [_percent(spread.mean, spread.std) for spread in spreads]
                rows.append((stage, network.name, *shown, self._fit_std(network, stage, figure)))
        return rows

    def _fit_std(self, network: NetworkCells, stage: str, figure: str) -> str:
        """Return the mean standard deviation over fits of one network, in points."""
        same = [n for report in self.by_seed for n in report.networks if n.name == network.name]
        found = [
            getattr(cell, figure).std or 0.0
            for one in same or [network]
            for cell in one.cells
            if cell.stage == stage
        ]
        return f"{100 * statistics.fmean(found):.2f}"

    def differences(self) -> list[Row]:
        """Return a row per stage and two kinds of networks, over all N, seed by seed."""
        head = ["after", "difference", "accuracy, points", "told apart"]
        rows: list[Row] = [[*head, "unexplained variance, points", "told apart"]]
        names = [network.name for network in self.report.networks]
        for stage in self.report.stages:
            for one, other in itertools.combinations(reversed(names), 2):
                cells: list[object] = [stage, f"{one} - {other}"]
                for figure in ("accuracy", "unexplained"):
                    points = [
                        100
                        * (_mean(report, one, stage, figure) - _mean(report, other, stage, figure))
                        for report in self.by_seed
                    ]
                    cells += [spread(points, sign="+"), _apart(points)]
                rows.append(cells)
        return rows


def pool_studies(studies: Sequence[dict[str, Any]]) -> Knowledge:
    """Pool the studies; the first is of the baseline itself and has the control."""
    from edgeexit_runtime.bundle.schema import decode

    from edgeexit.paper.consistency import ConsistencyReport

    first, *by_seed = (decode(ConsistencyReport, study) for study in studies)
    by_seed = [_rename_plain(report) for report in by_seed]
    itself, shuffled = first.networks
    worth = [100 * cell.accuracy.mean for cell in shuffled.cells]
    control = f"{min(worth):.1f} to {max(worth):.1f}"
    networks = tuple(
        _pool([report.networks[place] for report in by_seed])
        for place in range(len(by_seed[0].networks))
    )
    pooled = replace(by_seed[0], runs=len(by_seed), networks=networks)
    return Knowledge(pooled, replace(itself, name=ITSELF), control, tuple(by_seed))


def _rename_plain(report: ConsistencyReport) -> ConsistencyReport:
    """Rename plain networks, as the baseline has the same name."""
    networks = (replace(n, name=OTHERS) if n.name == PLAIN else n for n in report.networks)
    return replace(report, networks=tuple(networks))


def _pool(networks: Sequence[NetworkCells]) -> NetworkCells:
    """Return one kind of network: each cell has the means of its seeds."""
    cells = tuple(_pool_cells(cells) for cells in zip(*(n.cells for n in networks), strict=True))
    first = networks[0]
    return replace(first, fingerprint=" ".join(n.fingerprint for n in networks), cells=cells)


def _pool_cells(cells: Sequence[Cell]) -> Cell:
    from edgeexit.training.comparison import Spread

    accuracies = [cell.accuracy.mean for cell in cells]
    return replace(
        cells[0],
        accuracy=Spread.of(accuracies),
        unexplained=Spread.of([cell.unexplained.mean for cell in cells]),
        accuracies=tuple(accuracies),
    )


def _mean(report: ConsistencyReport, name: str, stage: str, figure: str) -> float:
    """Return accuracy or unexplained variance of one network at a stage, over all N."""
    (network,) = (n for n in report.networks if n.name == name)
    return statistics.fmean(
        getattr(cell, figure).mean for cell in network.cells if cell.stage == stage
    )


def _apart(points: Sequence[float]) -> str:
    """Say whether a difference exceeds the spread over seeds, by Student's t test."""
    from scipy import stats

    if len(points) < 2 or len(set(points)) == 1:
        return "no"
    p = float(stats.ttest_1samp(points, 0).pvalue)
    return f"{'yes' if p <= ALPHA else 'no'} (p = {p:.2g})"


def _percent(mean: float, std: float | None) -> str:
    return f"{100 * mean:.2f}" + ("" if std is None else f" ± {100 * std:.2f}")
