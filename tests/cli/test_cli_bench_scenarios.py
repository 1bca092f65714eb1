"""``edgeexit bench`` with scenarios and with something to compare with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.tiny_bundle import write_bundle, write_images

from edgeexit.bench import load_report
from edgeexit.bench.report import WarmUp
from edgeexit.bench.scenarios import (
    BatchRate,
    OfflineResult,
    Scenarios,
    Server,
    ServerResult,
    Stream,
    StreamResult,
)
from edgeexit.cli import main
from edgeexit.cli.bench_scenarios import scenario_tables
from edgeexit.cli.bench_tables import percentile_cells, percentile_note, warm_up_line
from edgeexit.statistics.percentiles import Percentile, percentiles

QUICK = ("--rounds", "1", "--threads", "1", "--warm-up", "0")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A hundred images that leave at exit1 and twenty that leave at final, with labels."""
    labels = np.arange(120) % 10
    images = write_images([0, 0, 0, 0, 0, 1] * 20, labels.tolist())
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return tmp_path / "images.npz"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def printed(table: object, width: int) -> str:
    from rich.console import Console

    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def one_line(output: str) -> str:
    return " ".join(output.split())


@pytest.mark.parametrize("width", [80, 120])
def test_everything_at_once_fits_the_terminal(
    bundle: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    from rich.console import Console

    for module in ("bench_printing", "bench_tables"):
        monkeypatch.setattr(
            f"edgeexit.cli.{module}.console", lambda: Console(width=width, markup=False)
        )
    file = tmp_path / "bench.json"
    result = run(
        *("--engine-dir", bundle, "--npz", archive, "--json", file, *QUICK),
        *("--versus", bundle, "--scenario", "all", "--qps", "200", "--duration", "0.5"),
    )
    assert result.exit_code == 0, result.stderr
    assert "…" not in result.stdout
    rows = [line for line in result.stdout.splitlines() if line[:1] in "│┏┃├└"]
    assert max(map(len, rows)) <= width
    said = one_line(result.stdout)
    for words in (
        "warm-up: not stable within",
        "the same 120 images, every alternative in turn, ms",
        "exit1 off",
        "versus bundle",
        "as accurate as bundle",
        "single stream: queries of 1 image one after the other; p90 counts, ms",
        "multi stream: queries of 8 images one after the other; p99 counts, ms",
        "p99 needs 100 different queries, there are 15.",
        "offline: images per second by batch size",
        "Poisson arrivals of 200 per second",
        "judged on 60 images that the thresholds were not chosen on",
    ):
        assert words in said
    report = load_report(file)
    assert report.scenarios is not None
    assert report.scenarios.server is not None
    assert f"server: {report.scenarios.server.queries} queries in 0.5 s" in said
    assert report.options.scenarios == ("single-stream", "multi-stream", "offline")


def test_scenarios_are_chosen_by_name(bundle: Path, archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    common = ("--engine-dir", bundle, "--npz", archive, "--json", file, *QUICK)
    result = run(*common, "--scenario", "offline,single-stream")
    assert result.exit_code == 0, result.stderr
    report = load_report(file)
    assert report.options.scenarios == ("single-stream", "offline")
    assert report.scenarios is not None
    assert report.scenarios.multi_stream is None
    assert "multi stream" not in result.stdout


@pytest.mark.parametrize(
    ("options", "exit_code", "expected"),
    [
        (
            ("--scenario", "servers"),
            2,
            "expected single-stream, multi-stream, offline or all, got 'servers'",
        ),
        (("--scenario", "all"), 1, "scenarios: expected real images, got none: how long one takes"),
        (("--qps", "5"), 1, "scenarios: expected real images, got none"),
        (("--qps", "0"), 2, "Invalid value for '--qps'"),
        (("--warm-up", "-1"), 2, "Invalid value for '--warm-up'"),
        (("--versus", "small.onnx"), 1, "versus: expected real images, got none"),
        (
            ("--versus", "small.onnx", "--npz", "images.npz"),
            1,
            "small.onnx: no such file or folder; expected a bundle of 'edgeexit export' or an ONNX",
        ),
        (
            ("--versus", "images.npz", "--npz", "images.npz"),
            1,
            "images.npz: not an ONNX model; expected a classifier's .onnx file",
        ),
    ],
)
def test_options_that_do_not_fit(
    bundle: Path,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    exit_code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("--engine-dir", bundle, "--json", "bench.json", *QUICK, *options)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert expected in result.stderr.strip().splitlines()[-1]
    assert not Path("bench.json").exists()


def test_percentiles_that_there_are_too_few_for_are_no_numbers() -> None:
    few = percentiles(np.ones((3, 50)), independent=50)
    cells = percentile_cells(few)
    assert cells == ["1.000\n1.000..1.000", "1.000\n1.000..1.000", "-"]
    assert percentile_note(few) == (
        "Second lines: 95% intervals. p99 needs 100 different images, there are 50."
    )
    enough_for_a_point = percentiles(np.arange(200.0))
    assert percentile_cells(enough_for_a_point)[2].endswith("..")
    assert percentile_note(enough_for_a_point, "queries").endswith(
        "p99's upper end needs 368 different queries, there are 200."
    )
    assert percentile_note(percentiles(np.arange(400.0))) == "Second lines: 95% intervals."
    assert percentile_cells([Percentile(50, 9, 9, 1234.5678, None, None)]) == ["1234.6"]


def test_the_best_batch_size_is_marked() -> None:
    rates = (BatchRate(1, 64, 100.0), BatchRate(2, 64, 150.25), BatchRate(4, 64, 140.0))
    results = (
        OfflineResult("early exit", rates, 2, 150.25, 1.5025),
        OfflineResult("versus x", rates[:1], 1, 100.0, 1.0),
    )
    (table,) = scenario_tables(Scenarios("test", 64, offline=results))
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in printed(table, 80).splitlines()
    ]
    assert [row for row in rows if row] == [
        ["1", "100.0", "100.0*"],
        ["2", "150.2*", "-"],
        ["4", "140.0", "-"],
        ["best", "150.2", "100.0"],
        ["ratio", "1.502", "1.000"],
    ]


def served(name: str, load: float, stable: bool) -> ServerResult:
    found = tuple(
        dataclasses.replace(it, low_ms=None, high_ms=None, value_ms=it.value_ms if stable else None)
        for it in percentiles(np.full(200, 12.0))
    )
    return ServerResult(name, 200, 37, 19.5, load, stable, 0.9, 10.0, 12.0, found, (12.0,) * 200)


def test_a_queue_that_grows_shows_no_latencies_and_says_why() -> None:
    results = (served("quick", 0.3, True), served("near", 0.95, True), served("slow", 1.2, False))
    (table,) = scenario_tables(Scenarios("test", 200, server=Server(20.0, 10.0, 200, results)))
    text = printed(table, 100)
    quick, near, slow = (
        next(line for line in text.splitlines() if name in line)
        for name in ("quick", "near ", "slow")
    )
    assert "stable" in quick
    assert quick.count("12.000") == 4
    assert "near limit" in near
    assert "grows" in slow
    assert "(37)" in text
    assert "12.000" not in slow
    said = one_line(text)
    assert "latencies depend on how long one waits: they are not shown" in said
    assert "a longer run has longer latencies: give more --duration" in said
    assert "No intervals: queries that wait for each other are not independent." in said


def test_a_stream_without_its_leading_percentile_has_no_ratio() -> None:
    found = percentiles(np.ones(16))
    results = (StreamResult("early exit", 1.0, found, None, (1.0,) * 16),)
    (table,) = scenario_tables(Scenarios("test", 128, multi_stream=Stream(8, 99.0, results)))
    row = next(line for line in printed(table, 100).splitlines() if "early exit" in line)
    assert [cell.strip() for cell in row.split("│")[-3:-1]] == ["-", "-"]


def test_warm_up_in_a_line() -> None:
    assert warm_up_line(WarmUp(1.26, 31, True, (1.0, 1.0))) == (
        "warm-up: stable after 1.3 s, 31 rounds"
    )
    assert warm_up_line(WarmUp(10.0, 31, False, (1.0, 2.0))) == (
        "warm-up: not stable within 10.0 s, 31 rounds"
    )


def test_help_has_examples() -> None:
    said = run("--help").stdout
    assert "edgeexit bench --engine-dir out/ --versus small.onnx" in said
    assert "edgeexit bench --engine-dir out/ --images photos/ --scenario all --qps 50" in said
