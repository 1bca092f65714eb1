from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from edgeexit.paper.consistency import (
    Cell,
    ConsistencyReport,
    FitSettings,
    NetworkCells,
    plot_consistency,
    write_csv,
)
from edgeexit.paper.consistency.record import StudySettings
from edgeexit.training.comparison import Spread


def cell(stage: str, depth: int) -> Cell:
    return Cell(stage, depth, Spread(0.9, 0.01), Spread(0.25, 0.0), (0.89, 0.91))


def network(name: str, stages: tuple[str, ...], control: bool = False) -> NetworkCells:
    cells = tuple(cell(stage, depth) for stage in stages for depth in (0, 2))
    return NetworkCells(name, name, control, cells)


@pytest.fixture
def report() -> ConsistencyReport:
    settings = StudySettings("base", "digits", None, (3, 8, 8), 100, 50, FitSettings())
    networks = (
        network("3+1", ("stage1", "stage2")),
        network("1", ("stage2",)),
        network("3+1, shuffled", ("stage1", "stage2"), control=True),
    )
    return ConsistencyReport("plain", "resnet20", 0.95, settings, 2, networks)


def test_rows_of_the_csv(report: ConsistencyReport, tmp_path: Path) -> None:
    write_csv(report, tmp_path / "consistency.csv")
    with (tmp_path / "consistency.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert rows[0] == {
        **{"network": "3+1", "control": "0", "stage": "stage1", "depth": "0", "runs": "2"},
        **{"accuracy_mean": "0.9", "accuracy_std": "0.01"},
        **{"unexplained_mean": "0.25", "unexplained_std": "0.0", "baseline_accuracy": "0.95"},
    }
    assert [row["control"] for row in rows] == ["0"] * 6 + ["1"] * 4


def test_the_picture_shows_every_network_but_the_control(
    report: ConsistencyReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *to, **how: (figures.append(self), save(self, *to, **how))
    )
    plot_consistency(report, [tmp_path / "a.png", tmp_path / "a.pdf"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    first, second = figures[0].axes
    assert [first.get_title(), second.get_title()] == [
        "features after stage1",
        "features after stage2",
    ]
    assert len(first.containers) == 1
    assert len(second.containers) == 2
    (legend,) = figures[0].legends
    texts = sorted(text.get_text() for text in legend.get_texts())
    assert texts == ["1", "3+1", "baseline (plain)"]
    assert first.get_ylabel() == "baseline's accuracy, % of 50 test images"


@pytest.mark.parametrize(("stages", "networks"), [(1, 1), (4, 8), (6, 2)])
def test_pictures_of_any_number_of_stages_and_networks(
    report: ConsistencyReport, tmp_path: Path, stages: int, networks: int
) -> None:
    names = tuple(f"stage{number + 1}" for number in range(stages))
    drawn = tuple(network(f"network {number}", names) for number in range(networks))
    plot_consistency(replace(report, networks=drawn, runs=1), [tmp_path / "a.png"])
    assert (tmp_path / "a.png").stat().st_size > 10_000
