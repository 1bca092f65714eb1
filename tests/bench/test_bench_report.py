"""Reports: JSON and back, what they say in words, and the picture."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime.timing import summarize
from PIL import Image
from support.reports import baseline_and_early_exit, made_report, made_run

from edgeexit.bench import (
    BenchOptions,
    BenchReport,
    BundleInfo,
    DeviceInfo,
    IsoAccuracy,
    Mixture,
    MixtureExit,
    PartTiming,
    PathTiming,
    load_report,
    plot,
    plot_report,
    plot_reports,
    report_json,
    verdict,
)
from edgeexit.bench.device import cores_available, cpu_model
from edgeexit.bench.report import WarmUp
from edgeexit.bench.results.mixture import EXIT_OFF, VERSUS, Reached
from edgeexit.bench.scenarios import (
    BatchRate,
    OfflineResult,
    Scenarios,
    Server,
    ServerResult,
    Stream,
    StreamResult,
)
from edgeexit.errors import DataError, InputError
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import ratios_of_means
from edgeexit.statistics.drift import Drift
from edgeexit.statistics.percentiles import percentiles


def path_timing(name: str, ratio: float, macs_ratio: float) -> PathTiming:
    times_ms = (ratio * 2, ratio * 2.0, ratio * 2.2)
    macs = round(macs_ratio * 1000)
    return PathTiming(name, macs, ratio, macs_ratio, summarize(np.array(times_ms)), times_ms)


def mixture(ratio: float, macs_ratio: float) -> Mixture:
    ours, theirs = np.full((2, 2), ratio * 2), np.full((2, 2), 2.0)
    return Mixture(
        source="digits (test)",
        samples=2,
        exits=(
            MixtureExit("exit1", 0.5, 1.0, summarize(ours), 0.5),
            MixtureExit("exit2", 0.5, 0.0, None, None),
            MixtureExit("final", None, 0.0, None, None),
        ),
        left_at=(0, 0),
        macs_ratio=macs_ratio,
        runs=baseline_and_early_exit(ours, theirs, (1.0, 0.5)),
    )


def report_with(
    paths: tuple[tuple[float, float], ...], mixed: tuple[float, float] | None
) -> BenchReport:
    """Return a report of these measured and analytic ratios."""
    times_ms = (1.0, 2.0)
    names = ("exit1", "exit2", "final")
    return replace(
        made_report(images=0),
        bundle=BundleInfo("out", "resnet20", "3+1", 10, "fp32", (3, 32, 32), {"exit1": 0.5}, {}),
        device=DeviceInfo("A processor", 2, "Linux", "CPUExecutionProvider", None, {"numpy": "2"}),
        options=BenchOptions(providers=("CPUExecutionProvider",)),
        parts=(PartTiming("stage1", "stage", 300, summarize(np.array(times_ms)), times_ms),),
        baseline=path_timing("baseline", 1, 1),
        paths=tuple(path_timing(name, *both) for name, both in zip(names, paths, strict=True)),
        mixture=None if mixed is None else mixture(*mixed),
    )


@pytest.fixture
def report() -> BenchReport:
    return report_with(((0.5, 0.4), (0.9, 0.8), (1.3, 1.2)), (0.6, 0.5))


# JSON


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
    (tmp_path / "full.json").write_text(json.dumps(report_json(full)))
    assert load_report(tmp_path / "full.json") == full


def test_json_without_a_mixture_says_so(tmp_path: Path) -> None:
    report = report_with(((0.5, 0.4), (0.9, 0.8), (1.3, 1.2)), None)
    value = report_json(report)
    assert value["mixture"] is None
    (tmp_path / "bench.json").write_text(json.dumps(value))
    assert load_report(tmp_path / "bench.json") == report


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "cannot be read as JSON; expected a file of --json"),
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
def test_a_file_that_is_no_report(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "bench.json"
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


def test_a_report_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: cannot be read as JSON"):
        load_report(tmp_path / "none.json")


# words

PATHS = ((0.5, 0.4), (0.9, 0.8), (1.3, 1.2))


@pytest.mark.parametrize(
    ("mixed", "expected"),
    [
        ((0.6, 0.5), "Early exit pays on this device at these thresholds: an image takes 1.2 ms"),
        ((1.5, 0.9), "Early exit does not pay on this device at these thresholds: an image"),
        ((1.01, 0.9), "Early exit breaks even on this device at these thresholds: an image"),
        (
            (0.6, 0.5),
            "a ratio of 0.600 [0.600, 0.600]. Eq. 5 says 0.500; measured is 20 % above it.",
        ),
        (
            (0.6, 0.8),
            "a ratio of 0.600 [0.600, 0.600]. Eq. 5 says 0.800; measured is 25 % below it.",
        ),
    ],
)
def test_verdict_on_a_mixture(mixed: tuple[float, float], expected: str) -> None:
    assert expected in verdict(report_with(PATHS, mixed))


@pytest.mark.parametrize("ratio", [0.9, 1.1])
def test_verdict_claims_nothing_that_is_within_the_noise(ratio: float) -> None:
    report = report_with(PATHS, (ratio, 0.5))
    assert report.mixture is not None
    # of two images one takes four times as long with early exit, the other with the baseline
    runs = baseline_and_early_exit(np.array(((ratio, 4 * ratio),) * 2), np.array(((4.0, 1.0),) * 2))
    noisy = dataclasses.replace(report.mixture, runs=runs)
    said = verdict(dataclasses.replace(report, mixture=noisy))
    assert said.startswith(
        "Whether early exit pays on this device at these thresholds is within the noise (a longer "
        "--duration or more images make it narrower): an image takes"
    )


def test_verdict_without_a_mixture() -> None:
    assert verdict(report_with(PATHS, None)) == (
        "Early exit can pay on this device for images that leave at exit1 or exit2; one that goes "
        "all the way takes 1.30 times the plain backbone. Measured against Eq. 5: exit1 25 % above "
        "it, exit2 12 % above it, final 8 % above it. No mixture was measured, because no images "
        "were given: whether it pays on average depends on how many leave where."
    )


def test_verdict_where_no_exit_is_faster() -> None:
    said = verdict(report_with(((0.99, 0.4), (1.2, 0.8), (1.3, 1.2)), None))
    assert said.startswith(
        "Early exit cannot pay on this device: no exit is faster than the plain backbone;"
    )


def test_verdict_warns_of_unsteady_times(report: BenchReport) -> None:
    assert "unsteady" not in verdict(report)
    slow = dataclasses.replace(
        report.baseline, latency=dataclasses.replace(report.baseline.latency, p90_ms=6.0)
    )
    assert verdict(dataclasses.replace(report, baseline=slow)).endswith(
        "The times are unsteady (p90 of the plain backbone is 3.0 times its fastest call): "
        "something else runs on this device, measure again when it is idle."
    )


def test_verdict_says_first_what_is_the_better_choice(report: BenchReport) -> None:
    assert report.mixture is not None

    def against(mean_ms: float) -> str:
        ours, theirs, other = (np.full((2, 2), it) for it in (1.2, 2.0, mean_ms))
        runs = (
            *baseline_and_early_exit(ours, theirs),
            made_run(VERSUS, "small.onnx", other, theirs),
        )
        (over_versus,) = ratios_of_means([ours], other)
        mixed = dataclasses.replace(report.mixture, runs=runs, over_versus=over_versus)  # type: ignore[type-var]
        return verdict(dataclasses.replace(report, mixture=mixed))

    assert against(0.2).startswith(
        "At the bundle's thresholds early exit is slower than small.onnx: 1.2 ms on average"
    )
    assert against(5.0).startswith("Early exit pays on this device")
    assert "At the bundle's thresholds early exit is faster than small.onnx" in against(5.0)


def test_verdict_warns_of_a_warm_up_that_never_became_stable(report: BenchReport) -> None:
    def after(warm_up: WarmUp, warm_up_s: float = 10.0) -> str:
        options = dataclasses.replace(report.options, warm_up_s=warm_up_s)
        return verdict(dataclasses.replace(report, options=options, warm_up=warm_up))

    assert after(WarmUp(1.5, 20, True, (9.0, 9.0))) == verdict(report)
    assert after(WarmUp(10.1, 40, False, (9.0, 7.0, 9.5, 8.0))).endswith(
        "The warm-up never became stable: after 10.1 s the medians of its last windows still "
        "differed (7, 9.5, 8 ms); measure again with a longer --warm-up, or when nothing else runs."
    )
    assert after(WarmUp(3.1, 14, False, (9.0,)), warm_up_s=3).endswith(
        "The warm-up never became stable: after 3.1 s there were no two windows to compare; "
        "measure again with a longer --warm-up, or when nothing else runs."
    )
    # none was asked for
    assert after(WarmUp(0.1, 10, False, ()), warm_up_s=0) == verdict(report)


def test_verdict_warns_of_a_device_whose_speed_drifts(report: BenchReport) -> None:
    def with_thirds(*medians_ms: float) -> str:
        drift = Drift("mixture", medians_ms)  # type: ignore[arg-type]
        return verdict(dataclasses.replace(report, drifts=(drift,)))

    assert with_thirds(1.0, 1.02, 1.05) == verdict(report)
    assert with_thirds(1.0, 1.1, 1.5).endswith(
        "The device's speed drifted in the measurement of the mixture: the plain backbone's "
        "medians of the first, second and last third are 1, 1.1, 1.5 ms, 1.50 times from fastest "
        "to slowest; it may throttle, or something else runs: cool it or fix its clock, and "
        "measure again."
    )


# the picture


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_picture_in_every_format(report: BenchReport, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"plot{suffix}"
    plot_report(report, file)
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert file.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [file]


def test_picture_names_every_point_and_bundle(report: BenchReport, tmp_path: Path) -> None:
    fp16 = dataclasses.replace(
        report_with(((0.6, 0.4), (1.1, 0.8), (1.9, 1.2)), None),
        bundle=dataclasses.replace(report.bundle, precision="fp16"),
    )
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none"}):  # text as text
        plot_reports([report, fp16], tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    for name, count in (("exit1", 2), ("exit2", 2), ("final", 2), ("mixture", 1)):
        assert text.count(f">{name}<") == count
    for words in ("resnet20 3+1 fp32", "resnet20 3+1 fp16", "as Eq. 5", "plain backbone"):
        assert f">{words}<" in text
    assert "A processor, CPUExecutionProvider" in text


def test_labels_overlap_neither_points_nor_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    labels = {}
    place = plot._label

    def watched(axes, point, offset):  # type: ignore[no-untyped-def]
        label = labels[point, offset] = place(axes, point, offset)
        return label

    monkeypatch.setattr(plot, "_label", watched)
    # the mixture beside exit1, exit2 on the plain backbone's line: the crowded case
    plot_report(
        report_with(((0.5, 0.45), (1.0, 0.84), (1.16, 1.16)), (0.51, 0.46)), tmp_path / "a.png"
    )
    kept = [label for label in labels.values() if label.axes is not None]
    assert sorted(label.get_text() for label in kept) == ["exit1", "exit2", "final", "mixture"]
    boxes = [label.get_window_extent() for label in kept]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    points = {point for point, _ in labels}
    assert not any(box.count_overlaps(plot._taken(kept[0].axes, list(points))) for box in boxes)


def test_picture_is_large_enough_to_print(report: BenchReport, tmp_path: Path) -> None:
    plot_report(report, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert min(image.size) >= 800


def test_a_picture_of_another_kind_and_too_many_reports(
    report: BenchReport, tmp_path: Path
) -> None:
    with pytest.raises(
        InputError, match=r"plot\.gif: expected a picture's name that ends in \.png"
    ):
        plot_report(report, tmp_path / "plot.gif")
    for reports in ([], [report] * 6):
        with pytest.raises(
            InputError, match=f"expected 1 to 5 reports in a picture, got {len(reports)}"
        ):
            plot_reports(reports, tmp_path / "plot.png")
    assert list(tmp_path.iterdir()) == []


# the device


def test_cpu_model_from_cpuinfo_or_the_board(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    board.write_bytes(b"NVIDIA Jetson Orin Nano\0")
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC\n")
    assert cpu_model(cpuinfo, board) == "AMD EPYC"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 62.50\n")  # as ARM writes it
    assert cpu_model(cpuinfo, board) == "NVIDIA Jetson Orin Nano"
    assert cpu_model(tmp_path / "none", tmp_path / "none") != ""
    assert cores_available() >= 1


def test_verdict_on_a_plain_backbone() -> None:
    branched = report_with(PATHS, None)
    said = verdict(replace(branched, paths=branched.paths[-1:]))
    assert said.startswith("This network has no branches, so that nothing leaves early")
