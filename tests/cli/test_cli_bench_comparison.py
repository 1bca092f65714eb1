from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import SCREEN, Command, one_line, table_rows
from support.reports import made_report

from edgeexit.bench import BenchReport, report_json


def write(file: Path, report: BenchReport) -> Path:
    file.write_text(json.dumps(report_json(report)))
    return file


@pytest.fixture
def reports(tmp_path: Path) -> tuple[Path, Path]:
    slower = made_report(seed=1, scale=1.5)
    return write(tmp_path / "a.json", made_report()), write(tmp_path / "b.json", slower)


run = Command("bench")


def test_two_reports_are_set_side_by_side(
    reports: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run.ok("--compare", "a.json", "b.json", "--json", "compared.json")
    said = one_line(result.stdout)
    value = json.loads((tmp_path / "compared.json").read_text())
    assert said.startswith(one_line(value["verdict"])), "what it comes to stands first"
    assert "plain backbone (exit paths, median) is slower" in said
    assert "The reports record the same set-up." in said
    cells = table_rows(result.stdout)
    (plain,) = (row for row in cells if row[:2] == ["plain backbone", "median, ms"])
    assert plain[-1] == "worse"
    assert not [row for row in cells if row[1].startswith("to the plain")]
    assert "--details" in said
    assert len(result.stdout.splitlines()) <= SCREEN

    assert value["figures"][0]["ratio"] == pytest.approx(1.5, rel=0.01)
    assert "wrote compared.json" in result.stderr


def test_ratios_to_the_plain_backbone_are_details(reports: tuple[Path, Path]) -> None:
    result = run.ok("--compare", *reports, "--details")
    rows = table_rows(result.stdout)
    (relative,) = (row for row in rows if row[0] == "exit1" and row[1].startswith("to the plain"))
    assert relative[-1] == "no"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("--threads", "2"), "--threads does not go with --compare, which measures nothing"),
        (("--engine-dir", "out"), "--engine-dir does not go with --compare"),
        (("--plot", "a.png"), "--plot does not go with --compare"),
    ],
)
def test_options_of_a_measurement_do_not_go_with_it(
    reports: tuple[Path, Path], more: tuple[str, str], expected: str
) -> None:
    assert expected in run.refused("--compare", *reports, *more, code=2)


def test_a_file_that_is_no_report(reports: tuple[Path, Path], tmp_path: Path) -> None:
    told = run.refused("--compare", reports[0], tmp_path / "none.json")
    assert (
        "none.json: cannot be read (No such file or directory); expected a file of --json" in told
    )
