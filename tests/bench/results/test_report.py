"""Reports: JSON and back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from support.reports import made_run

from edgeexit.bench import (
    BenchReport,
    IsoAccuracy,
    load_report,
    report_json,
    verdict,
)
from edgeexit.bench.results.mixture import EXIT_OFF, Reached
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
from edgeexit.errors import DataError
from edgeexit.statistics import Interval
from edgeexit.statistics.drift import Drift
from edgeexit.statistics.percentiles import percentiles


def test_json_holds_everything_and_can_be_read_back(report: BenchReport, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(report_json(report)))
    assert load_report(file) == report

    value = json.loads(file.read_text())
    assert value["schema_version"] == 3
    assert value["batch_size"] == 1
    assert value["verdict"] == verdict(report)
    assert value["paths"][0]["times_ms"] == list(report.paths[0].times_ms)
    assert value["paths"][0]["latency"]["p99_ms"] == report.paths[0].latency.p99_ms
    baseline, early_exit = value["mixture"]["runs"]
    assert (baseline["role"], early_exit["role"]) == ("baseline", "early_exit")
    assert baseline["times_ms"] == [[2, 2], [2, 2]]
    assert early_exit["ratio"] == {"value": 0.6, "low": 0.6, "high": 0.6}
    assert value["device"]["threads"] is None


def test_every_section_can_be_read_back(report: BenchReport, tmp_path: Path) -> None:
    found = percentiles(np.linspace(1, 2, 120))
    missing = percentiles(np.ones(5))
    assert report.mixture is not None
    off = made_run(EXIT_OFF, "exit1 off", np.full((2, 2), 3.0), np.full((2, 2), 2.0))
    near = Interval(0.5, 0.4, 0.6)
    reached = Reached({"exit1": 0.5}, 0.9, 1.5, near, near)
    served = ServerResult("a", 3, 1, 2.0, 0.5, True, 0.4, 1.0, 2.0, found, (1.0,))
    full = dataclasses.replace(
        report,
        options=dataclasses.replace(
            report.options, versus="small.onnx", scenarios=("offline",), qps=30.0
        ),
        mixture=dataclasses.replace(
            report.mixture,
            runs=(*report.mixture.runs, dataclasses.replace(off, percentiles=missing)),
            over_versus=near,
            iso_accuracy=IsoAccuracy(50, 51, 0.9, 0.8, 0.9, 1.5, reached),
        ),
        scenarios=Scenarios(
            "digits (test)",
            2,
            single_stream=Stream(1, 90.0, (StreamResult("early exit", 1.5, found, 0.5, ()),)),
            offline=(OfflineResult("early exit", (BatchRate(1, 8, 99.5),), 1, 99.5, 2.0),),
            server=Server(30.0, 10.0, 300, (served,)),
        ),
        warm_up=WarmUp(1.5, 20, False, (9.0, 9.1)),
        drifts=(Drift("paths", (1.0, 1.0, 1.2)),),
    )
    for one in (full, dataclasses.replace(report, mixture=None)):
        (tmp_path / "bench.json").write_text(json.dumps(report_json(one)))
        assert load_report(tmp_path / "bench.json") == one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "bench.json: cannot be read (No such file"),
        ("", "not valid JSON (Expecting value: line 1 column 1 (char 0)); expected a fi"),
        ("[]", "not a report of 'edgeexit bench' (no schema_version)"),
        ('{"schema_version": 1, "model": {}}', "not a report of 'edgeexit bench' (no paths)"),
        (
            '{"schema_version": 4, "paths": []}',
            "made by a newer edgeexit (schema 4, this reads 3); upgrade edgeexit",
        ),
        (
            '{"schema_version": 2, "paths": []}',
            "made by an older edgeexit (schema 2, this reads 3); run the benchmark again",
        ),
        ('{"schema_version": 3, "paths": []}', "bundle: missing; run the benchmark again"),
    ],
)
def test_a_file_that_is_no_report(tmp_path: Path, text: str | None, expected: str) -> None:
    file = tmp_path / "bench.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError) as raised:
        load_report(file)
    assert expected in str(raised.value)


def test_a_report_whose_times_are_not_of_its_images(report: BenchReport, tmp_path: Path) -> None:
    value = report_json(report)
    value["mixture"]["runs"][0]["times_ms"][1].append(3.0)
    (tmp_path / "bench.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="times_ms: expected one for each of 2 images, got 3; run"):
        load_report(tmp_path / "bench.json")
