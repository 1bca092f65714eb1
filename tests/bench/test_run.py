"""Measuring a bundle: what is timed, how often, and what the figures are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.progress import ignore_progress
from edgeexit_runtime.testing import edit_manifest
from edgeexit_runtime.timing.calls import summarize
from edgeexit_runtime.timing.turns import MIN_ROUNDS, Turn, take_turns
from numpy.typing import NDArray

from edgeexit.bench import BenchImages, BenchOptions, run_bench
from edgeexit.errors import BundleError, InputError
from edgeexit.statistics import Interval

QUICK = BenchOptions(threads=1, rounds=3, duration_s=60, warm_up_s=0)
EXITS, LABELS = [0, 1, 0, 0], [3, 4, 5, 6]

LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]


def test_without_images_every_part_and_path_is_timed(bundle: Path) -> None:
    report = run_bench(bundle, None, QUICK)

    about, device = report.bundle, report.device
    assert (about.backbone, about.branches, about.precision) == ("tiny", "n", "fp32")
    assert (about.thresholds, report.options) == ({"exit1": 0.5}, QUICK)
    assert (device.backend_device, device.threads) == ("CPUExecutionProvider", 1)
    software = {"onnxruntime", "edgeexit", "edgeexit-runtime", "numpy", "python"}
    assert software <= set(device.versions)
    parts = [(part.name, part.kind, part.macs) for part in report.parts]
    assert parts == [
        ("stage1", "stage", 300),
        ("exit1", "branch", 50),
        ("stage2", "stage", 600),
        ("final", "branch", 100),
    ]
    paths = [(path.name, path.path_macs, path.macs_ratio) for path in report.paths]
    assert paths == [("exit1", 350, 0.35), ("final", 1050, 1.05)]
    plain = report.baseline
    assert (plain.path_macs, plain.ratio, plain.macs_ratio) == (1000, 1, 1)
    for timing in (*report.parts, *report.paths, report.baseline):
        assert len(timing.times_ms) == 3 * 5  # rounds of five calls
        assert min(timing.times_ms) > 0
        assert timing.latency == summarize(np.array(timing.times_ms))
    for path in report.paths:
        assert path.ratio == path.latency.p50_ms / report.baseline.latency.p50_ms
    assert report.mixture is None


def test_forced_paths_leave_where_they_are_made_to(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[str, int]] = []
    infer = ee.Session.infer

    def watched(self: ee.Session, images: NDArray[np.float32]) -> ee.Predictions:
        answer = infer(self, images)
        left.append((self.manifest.exit_names[answer.exits[0]], len(images)))
        return answer

    monkeypatch.setattr(ee.Session, "infer", watched)
    run_bench(bundle, None, QUICK)
    # ten rounds of warming up, then three of one settling and five timed calls
    calls = MIN_ROUNDS + 3 * (1 + 5)
    assert {name: left.count((name, 1)) for name, _ in left} == dict.fromkeys(
        ("baseline", "exit1", "final"), calls
    )


def test_mixture_counts_every_image_once_a_pass(bundle: Path, leaving_at: LeavingAt) -> None:
    images = BenchImages("test", leaving_at(EXITS, LABELS), np.array(LABELS))
    mixture = run_bench(bundle, images, QUICK).mixture

    assert mixture is not None
    assert (mixture.source, mixture.samples, mixture.left_at) == ("test", 4, tuple(EXITS))
    ours, theirs = mixture.early_exit, mixture.baseline
    chain_ms, plain_ms = np.array(ours.times_ms), np.array(theirs.times_ms)
    assert chain_ms.shape == plain_ms.shape == (3, 4)  # passes, images
    assert min(chain_ms.min(), plain_ms.min()) > 0
    assert ours.ratio.value == chain_ms.mean() / plain_ms.mean()
    assert ours.ratio.low <= ours.ratio.value <= ours.ratio.high
    assert theirs.ratio == Interval(1, 1, 1)
    assert mixture.macs_ratio == (0.75 * 350 + 0.25 * 1050) / 1000
    assert [exit_.share for exit_ in mixture.exits] == [0.75, 0.25]
    assert [exit_.threshold for exit_ in mixture.exits] == [0.5, None]
    assert [exit_.accuracy for exit_ in mixture.exits] == [1, 1]
    assert mixture.exits[1].latency == summarize(chain_ms[:, 1])
    for run in mixture.runs:  # four images in three passes are still four images
        assert {(it.queries, it.count) for it in run.percentiles} == {(12, 4)}
    # the plain backbone sees nothing in images that leave at exit1, and says 0
    assert (ours.accuracy, theirs.accuracy) == (1, 0.25)


def test_mixture_without_labels_and_with_an_exit_that_nobody_takes(
    bundle: Path, leaving_at: LeavingAt
) -> None:
    images = BenchImages("test", leaving_at([1, 1], [0, 1]), None)
    mixture = run_bench(bundle, images, QUICK).mixture
    assert mixture is not None
    assert [run.accuracy for run in mixture.runs] == [None] * 3  # with exit 1 off too
    first, last = mixture.exits
    assert (first.share, first.latency, first.accuracy) == (0, None, None)
    assert (last.share, last.accuracy) == (1, None)
    assert mixture.macs_ratio == 1.05


def test_duration_ends_the_rounds_but_not_before_the_least_number(
    bundle: Path, leaving_at: LeavingAt
) -> None:
    options = BenchOptions(threads=1, rounds=1000, duration_s=1e-6, warm_up_s=0)
    images = BenchImages("test", leaving_at(EXITS, LABELS), None)
    report = run_bench(bundle, images, options)
    assert report.baseline.latency.count == MIN_ROUNDS * 5
    assert report.mixture is not None
    assert report.mixture.early_exit.latency.count == 4  # one whole pass


def test_progress_goes_up_to_the_end_of_each_measurement(
    bundle: Path, leaving_at: LeavingAt
) -> None:
    told: dict[str, list[float]] = {}
    images = BenchImages("test", leaving_at(EXITS, LABELS), None)
    run_bench(bundle, images, QUICK, lambda step, done: told.setdefault(step, []).append(done))
    assert list(told) == ["warm-up", "parts and paths", "images one by one"]
    for fractions in told.values():
        assert fractions == sorted(fractions)
        assert 0 <= fractions[0] < fractions[-1] == 1


def test_turns_are_prepared_settled_timed_and_shuffled_by_seed() -> None:
    def order_of(seed: int) -> list[str]:
        order: list[str] = []

        def call(name: str) -> tuple[float, ...]:
            order.append(name)
            return (float(len(order)),)

        turns = [
            Turn(it, partial(order.append, f"prepare {it}"), partial(call, it)) for it in "abc"
        ]
        times = take_turns(turns, 4, 60.0, seed, ignore_progress)
        assert {name: len(calls) for name, calls in times.items()} == {"a": 20, "b": 20, "c": 20}
        settled = {float(at + 2) for at, name in enumerate(order) if name.startswith("prepare")}
        assert not settled & {ms for calls in times.values() for (ms,) in calls}
        return order

    order = order_of(seed=1)
    turns = [order[start : start + 7] for start in range(0, len(order), 7)]
    for turn in turns:  # one settling call, five timed ones
        name = turn[-1]
        assert turn == [f"prepare {name}", *[name] * 6]
    rounds = ["".join(turn[-1] for turn in turns[start : start + 3]) for start in (0, 3, 6, 9)]
    assert all(sorted(round_) == ["a", "b", "c"] for round_ in rounds)
    assert len(set(rounds)) > 1
    assert order_of(seed=1) == order
    assert order_of(seed=2) != order


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rounds": 0}, "rounds: expected 1 or more, got 0"),
        ({"duration_s": 0.0}, "duration: expected seconds above 0, got 0.0"),
        ({"warm_up_s": -1.0}, "warm-up: expected 0 seconds or more, got -1.0"),
        ({"qps": 0.0}, "qps: expected arrivals per second above 0, got 0.0"),
        ({"qps": float("inf")}, "qps: expected arrivals per second above 0, got inf"),
        (
            {"scenarios": ("server",)},
            "scenario: expected single-stream, multi-stream, offline or all, got 'server'",
        ),
    ],
)
def test_options_that_measure_nothing(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        BenchOptions(**changes)


def test_a_bundle_without_the_plain_backbone(bundle_without_baseline: Path) -> None:
    with pytest.raises(BundleError, match="holds no plain backbone to compare with"):
        run_bench(bundle_without_baseline, None, QUICK)


def test_images_of_another_size(bundle: Path) -> None:
    images = BenchImages("test", np.zeros((2, 3, 4, 4), np.float32), None)
    with pytest.raises(InputError, match=r"expected shape \(N, 3, 8, 8\), got \(1, 3, 4, 4\)"):
        run_bench(bundle, images, QUICK)


def test_images_that_were_prepared_for_another_bundle(bundle: Path, leaving_at: LeavingAt) -> None:
    """As if it was replaced while the images were read; after `tune` it is the same bundle."""
    manifest = ee.load_manifest(bundle)
    tuned, brighter = (
        replace(manifest, expected=None, max_batch=7),
        replace(manifest, preprocessing=replace(manifest.preprocessing, mean=(0.75,) * 3)),
    )
    pixels = leaving_at(EXITS, LABELS)
    run_bench(bundle, BenchImages("photos", pixels, None, manifest=tuned), QUICK)
    with pytest.raises(InputError, match="photos: prepared for a bundle with other"):
        run_bench(bundle, BenchImages("photos", pixels, None, manifest=brighter), QUICK)


def test_parts_of_two_bundles_are_not_compared(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = ee.load

    def replaced(folder: Path, **options: Any) -> ee.Session:
        edit_manifest(folder, lambda manifest: manifest["baseline"].update(path_macs=1))
        return load(folder, **options)

    monkeypatch.setattr("edgeexit.bench.timing.opened.load", replaced)
    with pytest.raises(BundleError, match="was replaced while it was opened"):
        run_bench(bundle, None, QUICK)


def test_a_benchmark_and_its_page_need_neither_torch_nor_the_command_line(
    bundle: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    code = f"""
import json, sys
from pathlib import Path
from edgeexit_runtime import load_manifest
from edgeexit.bench import *
folder, bundle = Path({str(tmp_path)!r}), Path({str(bundle)!r})
images = images_from_npz(folder / "images.npz", load_manifest(bundle), samples=2, seed=0)
report = run_bench(bundle, images, BenchOptions(rounds=1, warm_up_s=0))
plot_reports([report], folder / "plot.png")
write_page(report, folder / "report.html")
print(json.dumps([name for name in ("torch", "click", "edgeexit.cli") if name in sys.modules]))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []
    assert "exit paths, every image forced to leave" in (tmp_path / "report.html").read_text()
