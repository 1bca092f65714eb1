"""``edgeexit bench`` with scenarios and with something to compare with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.command_line import Command, one_line
from support.tiny_bundle import write_images

from edgeexit.bench import load_report
from edgeexit.cli.options.backend import BundleBackendOptions
from edgeexit.cli.options.bench import MeasureOptions

QUICK = ("--rounds", "1", "--threads", "1", "--warm-up", "0")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A hundred images that leave at exit1 and twenty that leave at final, with labels."""
    labels = np.arange(120) % 10
    images = write_images([0, 0, 0, 0, 0, 1] * 20, labels.tolist())
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return tmp_path / "images.npz"


run = Command("bench")


@pytest.mark.parametrize("width", [80, 120])
def test_everything_at_once_fits_the_terminal(
    bundle: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    file = tmp_path / "bench.json"
    result = run.ok(
        *("--engine-dir", bundle, "--npz", archive, "--json", file, *QUICK),
        *("--versus", bundle, "--scenario", "all", "--qps", "200", "--duration", "0.5"),
        "--details",
    )
    assert "…" not in result.stdout
    rows = [line for line in result.stdout.splitlines() if line[:1] in "│┏┃├└"]
    assert max(map(len, rows)) <= max(width, 100), "the narrowest that is kept to"
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


def test_scenarios_are_chosen_by_name() -> None:
    asked = MeasureOptions(scenario=("offline", "single-stream"))
    chosen = asked.chosen(BundleBackendOptions())
    assert chosen.scenarios == ("single-stream", "offline")
