from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.command_line import Command
from support.reports import made_report
from support.tiny_bundle import write_bundle, write_images

from edgeexit.bench import load_report, report_json, verdict


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(report_json(made_report())))
    return file


run = Command("bench")


def test_a_saved_report_is_shown_again_with_its_page(report_file: Path, tmp_path: Path) -> None:
    page, plot = tmp_path / "report.html", tmp_path / "plot.svg"
    result = run.ok("--report", report_file, "--html", page, "--plot", plot)
    assert "one image at a time" in result.stdout
    said = " ".join(result.stdout.split())
    assert " ".join(verdict(load_report(report_file)).split()) in said
    assert f"wrote {page}" in result.stderr
    assert plot.is_file()
    text = page.read_text(encoding="utf-8")
    assert "<caption>exit paths, every image forced to leave there, ms</caption>" in text
    assert "<caption>early exit: 200 images of photos at the bundle&#39;s thresholds, ms" in text
    assert "<td>onnxruntime on the device</td>" in text


def test_files_without_a_name(
    report_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--rounds", 1, "--duration", 0.1, "--warm-up", 0, "--dataset", "none")
    measured = ("--engine-dir", write_bundle(tmp_path / "out"), *options)
    for _ in range(2):  # the second time, over the first
        result = run.ok("--json", "--html", "--plot", *measured)
        wrote = {f"wrote report.{ending}" for ending in ("json", "html", "png")}
        assert set(result.stderr.splitlines()) == wrote
    run.ok("--report", "report.json", "--plot")
    told = run.refused("--compare", "report.json", report_file, "--json", code=2)
    assert "report.json is the name of a report: give --json another" in told


@pytest.mark.parametrize("ending", ["json", "html", "png"])
def test_a_file_of_somebody_elses_is_not_replaced(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "out")
    Path(f"report.{ending}").write_text('{"schema_version": 1, "title": "mine"}')
    option = "--plot" if ending == "png" else f"--{ending}"
    result = run(option)
    assert result.exit_code == 1
    assert result.stdout == "", "what is measured is printed before it is written"
    assert f"report.{ending}: is there, and is no report of 'edgeexit bench'" in result.stderr
    assert "mine" in Path(f"report.{ending}").read_text()


def test_a_measurement_writes_its_page(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    images = write_images([0, 1, 0, 0], [3, 4, 5, 6])
    np.savez(tmp_path / "images.npz", images=images, labels=np.array([3, 4, 5, 6]))
    page, file = tmp_path / "report.html", tmp_path / "bench.json"
    options = ("--rounds", 2, "--duration", 0.1, "--warm-up", 0, "--threads", 1)
    run.ok(
        *("--engine-dir", bundle, "--npz", tmp_path / "images.npz", *options),
        *("--html", page, "--json", file, "--scenario", "offline"),
    )
    first = page.read_text(encoding="utf-8")
    assert "<h2>Scenarios</h2>" in first
    assert "No energy was measured" in first
    # the saved report says all that the measurement did
    run.ok("--report", file, "--html", page)
    assert page.read_text(encoding="utf-8") == first


@pytest.mark.parametrize(
    ("options", "exit_code", "expected"),
    [
        (("--html", "page.pdf"), 1, "page.pdf: expected a page's name that ends in .html or .htm"),
        (("--threads", "2"), 2, "--threads does not go with --report, which measures nothing"),
        (("--json", "again.json"), 2, "--json does not go with --report"),
    ],
)
def test_options_that_do_not_fit(
    report_file: Path, tmp_path: Path, options: tuple[str, ...], exit_code: int, expected: str
) -> None:
    assert expected in run.refused("--report", report_file, *options, code=exit_code)
    assert list(tmp_path.iterdir()) == [report_file]
