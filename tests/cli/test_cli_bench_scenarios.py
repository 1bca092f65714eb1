"""``edgeexit bench`` with scenarios and with something to compare with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.command_line import invoke, one_line
from support.tiny_bundle import write_images

from edgeexit.bench import load_report

QUICK = ("--rounds", "1", "--threads", "1", "--warm-up", "0")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A hundred images that leave at exit1 and twenty that leave at final, with labels."""
    labels = np.arange(120) % 10
    images = write_images([0, 0, 0, 0, 0, 1] * 20, labels.tolist())
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return tmp_path / "images.npz"


run = partial(invoke, "bench")


@pytest.mark.parametrize("width", [100, 120])
def test_everything_at_once_fits_the_terminal(
    bundle: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    file = tmp_path / "bench.json"
    result = run(
        *("--engine-dir", bundle, "--npz", archive, "--json", file, *QUICK),
        *("--versus", bundle, "--scenario", "all", "--qps", "200", "--duration", "0.5"),
        "--details",
    )
    assert result.exit_code == 0, result.stderr
    assert "…" not in result.stdout
    rows = [line for line in result.stdout.splitlines() if line[:1] in "│┏┃├└"]
    assert max(map(len, rows)) <= width
    said = one_line(result.stdout)
    for words in (
        "warm-up: not stable within",
        "the same 120 images, candidates interleaved, ms",
        "exit1 off",
        "versus bundle",
        "as accurate as bundle",
        "single stream: queries of 1 image one after another; the metric is p90, ms",
        "multi stream: queries of 8 images one after another; the metric is p99, ms",
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
        (("--scenario", "all"), 1, "scenarios: expected real images, got none: latency depends"),
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


def test_help_has_examples() -> None:
    said = run("--help").stdout
    assert "edgeexit bench --engine-dir out/ --versus small.onnx" in said
    assert "edgeexit bench --engine-dir out/ --images photos/ --scenario all --qps 50" in said
