"""Tables of a report: which numbers they show, and what they say of those that are missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from edgeexit_runtime.gate import NEVER
from support.messages import missing
from support.reports import made_energy, made_report

from edgeexit.bench.render.latencies import percentile_cells, percentile_note
from edgeexit.bench.render.scenarios import scenario_tables
from edgeexit.bench.render.setup import warm_up_text
from edgeexit.bench.render.tables import energy_table, paths_table, runs_table, summary_table
from edgeexit.bench.results.scenarios import (
    BatchRate,
    OfflineResult,
    Scenarios,
    Server,
    ServerResult,
    Stream,
    StreamResult,
)
from edgeexit.bench.results.timings import WarmUp
from edgeexit.formats import Table, named_numbers
from edgeexit.statistics import Interval
from edgeexit.statistics.percentiles import Percentile, percentiles


def test_a_table_leaves_out_groups_and_notes_that_are_empty() -> None:
    table = Table.of("t", named_numbers("", "ms"), [], [("a", "1")], notes=["", "b"])
    assert (table.groups, table.notes) == (((("a", "1"),),), ("b",))
    assert [(it.heading, it.is_number) for it in table.columns] == [("", False), ("ms", True)]


def test_energy_of_candidates_and_of_the_idle_device() -> None:
    table = energy_table(made_energy())
    assert table.title == "energy on photos, one by one"
    assert table.groups == (
        (("early exit", "4.00", "40.000", "39.000 to 42.500", "25.000", "4"),),
        (("idle", "1.50", "", "", "", "4"),),
    )
    assert not missing(*table.notes, "RAPL package-0", "everything that they measure")


def test_percentiles_that_there_are_too_few_for_are_no_numbers() -> None:
    few = percentiles(np.ones((3, 50)), independent=50)
    cells = percentile_cells(few)
    assert cells == ["1.000\n1.000..1.000", "1.000\n1.000..1.000", "-"]
    assert not missing(percentile_note(few), "95% intervals", "p99 needs 100", "images", "are 50")
    enough_for_a_point = percentiles(np.arange(200.0))
    assert percentile_cells(enough_for_a_point)[2].endswith("..")
    assert percentile_note(enough_for_a_point, "queries").endswith(
        "p99's upper end needs 368 different queries, there are 200."
    )
    assert percentile_note(percentiles(np.arange(400.0))) == "Second lines: 95% intervals."
    assert percentile_cells([Percentile(50, 9, 9, 1234.5678, None, None)]) == ["1234.6"]


def test_the_summary_has_the_percentiles_that_the_other_tables_have() -> None:
    """300 calls are ten images, thirty times: too few for a 99th percentile."""
    report = made_report(images=10, passes=30)
    assert report.mixture is not None
    rows = {row[0]: row for group in summary_table(report).groups for row in group}
    runs = {row[0]: row for group in runs_table(report.mixture).groups for row in group}
    assert rows["exit1"][3] != "-"
    assert rows["early exit"][3] == runs["early exit"][6] == "-"


def test_paths_with_branches_that_early_exit_does_not_run_are_told() -> None:
    report = made_report()
    off = replace(report, bundle=replace(report.bundle, thresholds={"exit1": NEVER}))
    for table in (summary_table, paths_table):
        assert any("switched off: exit1" in note for note in table(off).notes)
        assert not any("switched off" in note for note in table(report).notes)


def test_the_best_batch_size_is_marked() -> None:
    rates = (BatchRate(1, 64, 100.0), BatchRate(2, 64, 150.25), BatchRate(4, 64, 140.0))
    results = (
        OfflineResult("early exit", rates, 2, 150.25, 1.5025),
        OfflineResult("versus x", rates[:1], 1, 100.0, 1.0),
    )
    (table,) = scenario_tables(Scenarios("test", 64, offline=results))
    assert table.groups == (
        (("1", "100.0 ", "100.0*"), ("2", "150.2*", "-"), ("4", "140.0 ", "-")),
        (("best", "150.2", "100.0"), ("ratio", "1.502", "1.000")),
    )


def served(name: str, load: float, stable: bool) -> ServerResult:
    found = tuple(
        replace(it, low_ms=None, high_ms=None, value_ms=it.value_ms if stable else None)
        for it in percentiles(np.full(200, 12.0))
    )
    return ServerResult(name, 200, 37, 19.5, load, stable, 0.9, 10.0, 12.0, found, (12.0,) * 200)


def test_a_queue_that_grows_shows_no_latencies_and_says_why() -> None:
    results = (served("quick", 0.3, True), served("near", 0.95, True), served("slow", 1.2, False))
    (table,) = scenario_tables(Scenarios("test", 200, server=Server(20.0, 10.0, 200, results)))
    (rows,) = table.groups
    quick, near, slow = rows
    queues = [row[2].partition("\n")[2] for row in (quick, near, slow)]
    assert queues == ["stable", "near limit", "grows\n(37)"]
    assert quick[3:] == ("12.000", "-", *("12.000",) * 3)
    assert slow[3:] == ("-",) * 5
    (said,) = table.notes
    assert "Latencies of a growing queue depend on how long the run is: they are not shown" in said
    assert "a longer run has longer latencies: give a longer --duration" in said
    assert "Intervals resample blocks of queries" in said


def test_a_server_has_ratios_and_intervals() -> None:
    found = replace(served("early exit", 0.3, True), ratio=Interval(0.7, 0.65, 0.76))
    percentile = replace(found.percentiles[0], low_ms=11.5, high_ms=12.5)
    found = replace(found, percentiles=(percentile, *found.percentiles[1:]))
    (table,) = scenario_tables(Scenarios("test", 200, server=Server(20.0, 10.0, 200, (found,))))
    assert table.groups[0][0][-4:-2] == ("0.700\n0.650..0.760", "12.000\n11.500..12.500")


def test_a_stream_without_its_leading_percentile_has_no_ratio() -> None:
    found = percentiles(np.ones(16))
    results = (StreamResult("early exit", 1.0, found, None, (1.0,) * 16),)
    (table,) = scenario_tables(Scenarios("test", 128, multi_stream=Stream(8, 99.0, results)))
    ((row,),) = table.groups
    assert row[-2:] == ("-", "-")


def test_warm_up_in_a_line() -> None:
    assert warm_up_text(WarmUp(1.26, 31, True, (1.0, 1.0))) == (
        "warm-up: stable after 1.3 s, 31 rounds"
    )
    assert warm_up_text(WarmUp(10.0, 31, False, (1.0, 2.0))) == (
        "warm-up: not stable within 10.0 s, 31 rounds"
    )
