"""The breakdown on a machine whose peaks are known: it adds up, and names what is heavy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import edgeexit_runtime as ee
import edgeexit_runtime.testing as tiny
import numpy as np
import pytest
from edgeexit_runtime.backends.onnxruntime.runner import OnnxRuntimeRunner
from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry
from edgeexit_runtime.bundle.schema import decode, encode
from edgeexit_runtime.progress import ignore_progress
from edgeexit_runtime.timing.calls import summarize
from numpy.typing import NDArray
from support.messages import missing
from support.tiny_bundle import NETWORK

from edgeexit.bench import BenchImages, BenchOptions, run_bench
from edgeexit.bench.render.explanation import breakdown_text, faster_text, peaks_text, reasons_text
from edgeexit.bench.results.explanation import (
    BYTES,
    GATE,
    MIXTURE,
    SESSION,
    SLOW,
    TERMS,
    UTILIZATION,
    Breakdown,
    Explanation,
)
from edgeexit.bench.results.roofline import Bandwidth, OperatorTraffic, PartRoofline, Peaks
from edgeexit.bench.results.timings import PartTiming
from edgeexit.bench.roofline.breakdown import Inference, break_down, part_roofline
from edgeexit.bench.roofline.explain import explainer_of, product_precision
from edgeexit.bench.roofline.inferences import path_graphs
from edgeexit.bench.timing.paths import measure_paths
from edgeexit.errors import BackendError
from edgeexit.statistics import Interval

LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]

MB = 10**6
# 1 ms is 1 MMAC, 1 MB of memory, or 10 MB of what was written just before
PEAKS = Peaks(
    "CPUExecutionProvider", "fp32", 1e9, 256, (Bandwidth(MB, 1e10), Bandwidth(100 * MB, 1e9))
)
OPTIONS = BenchOptions(threads=1, rounds=3, duration_s=60, warm_up_s=0)


def part(
    name: str,
    kind: str,
    measured_ms: float,
    *operators: tuple[str, int, int, int],
    working_set: int = 50 * MB,
) -> PartRoofline:
    """Return a part of operators: kind, MACs, bytes of weights and of activations."""
    made = tuple(OperatorTraffic(f"{name}_{i}", *row) for i, row in enumerate(operators))
    macs = sum(operator.macs for operator in made)
    return part_roofline(name, made, kind, macs, measured_ms, working_set, PEAKS)


# 2 ms of MACs; a branch of 1 ms of MACs, whose classifier has 6 MB for 0.2 MMACs; a stage of 6 ms
STAGE1 = part("stage1", "stage", 2.5, ("Conv 3x3", 2 * MB, 0, MB // 10))
EXIT1 = part(
    "exit1", "branch", 9.0, ("Conv 1x1", 800_000, 0, MB // 10), ("Gemm", 200_000, 6 * MB, 0)
)
STAGE2 = part("stage2", "stage", 7.0, ("Conv 3x3", 6 * MB, 0, MB // 10))
FINAL = part("final", "branch", 0.5, ("Gemm", 0, 0, MB // 10))
PLAIN = part("baseline", "baseline", 9.0, ("Conv 3x3", 8 * MB, 0, MB // 10))
PARTS = {it.name: it for it in (STAGE1, EXIT1, STAGE2, FINAL, PLAIN)}
PLAIN_RUN = Inference("baseline", 8 * MB, {"baseline": 1}, 0.25, 10.0, 10.0)
EXIT1_RUN = Inference("exit1", 3 * MB, {"stage1": 1, "exit1": 1}, 0.5, 13.0, 13.0)


def ratios(breakdown: Breakdown) -> dict[str, float]:
    return {term.name: term.ratio for term in breakdown.terms}


def adds_up(breakdown: Breakdown) -> bool:
    in_ms = breakdown.expected_ms + sum(term.ms for term in breakdown.terms)
    in_ratios = breakdown.macs_ratio + sum(term.ratio for term in breakdown.terms)
    return in_ms == pytest.approx(breakdown.measured_ms, rel=1e-12) and in_ratios == pytest.approx(
        breakdown.measured_ratio, rel=1e-12
    )


def test_roofline_is_taken_operator_by_operator() -> None:
    # the convolution's MACs take 0.8 ms, the classifier's weights 6 ms: not the larger of the two
    assert (EXIT1.compute_ms, EXIT1.roofline_ms) == (1.0, pytest.approx(6.8))
    assert (EXIT1.bytes_ms, EXIT1.utilization_ms) == (pytest.approx(5.8), pytest.approx(2.2))
    assert (STAGE1.compute_ms, STAGE1.bytes_ms, STAGE1.utilization_ms) == (2.0, 0, 0.5)
    heaviest = EXIT1.heaviest
    assert heaviest is not None
    assert heaviest.kind == "Gemm"
    assert (EXIT1.weight_bytes, EXIT1.activation_bytes) == (6 * MB, MB // 10)


def test_weights_come_from_a_cache_where_all_of_them_fit_into_it() -> None:
    row = ("Gemm", 0, 500_000, 0)
    assert part("small", "branch", 1, row, working_set=MB).roofline_ms == pytest.approx(0.05)
    assert part("large", "branch", 1, row, working_set=2 * MB).roofline_ms == pytest.approx(0.5)


def test_working_sets_of_early_exit_and_of_the_plain_backbone_are_apart(bundle: Path) -> None:
    """The plain backbone's weights fit into the cache, early exit's do not."""
    row = OperatorTraffic("y", "Gemm", 0, 600_000, 0)
    peaks: Any = SimpleNamespace(peaks=lambda calls_ms: PEAKS)
    image = np.zeros((1, 3, 8, 8), np.float32)
    with ee.load(bundle, threads=1) as session, ee.load_baseline(bundle, threads=1) as plain:
        explainer = explainer_of(bundle, session, plain, image)
        times = measure_paths(session, plain, image, OPTIONS, ignore_progress, explainer.turns)
    traffic = dict.fromkeys(explainer.traffic, (row,))
    found = dataclasses.replace(explainer, traffic=traffic, peaks=peaks).explain(times, None)
    assert [it.roofline_ms for it in found.parts] == pytest.approx([0.6] * 4 + [0.06])


def test_terms_of_a_known_machine() -> None:
    breakdown = break_down(EXIT1_RUN, PLAIN_RUN, PARTS)
    rho = 3 / 8
    assert (breakdown.macs_ratio, breakdown.measured_ratio) == (rho, 1.3)
    assert breakdown.expected_ms == rho * 10
    # the plain backbone: 8 ms of MACs, 1 of utilization, 0.25 of gate, 0.75 of session
    assert ratios(breakdown) == pytest.approx(
        {
            BYTES: 0.58,
            UTILIZATION: (0.5 + 2.2 - rho * 1) / 10,
            GATE: (0.5 - rho * 0.25) / 10,
            SESSION: (13 - 2.5 - 9 - 0.5 - rho * 0.75) / 10,
            SLOW: 0,
        }
    )
    assert adds_up(breakdown)
    assert tuple(term.name for term in breakdown.terms) == TERMS
    assert breakdown.term(GATE).ms == pytest.approx(0.5 - rho * 0.25)


def test_shares_of_the_parts_add_up_to_their_terms() -> None:
    breakdown = break_down(EXIT1_RUN, PLAIN_RUN, PARTS)
    stage1, exit1 = breakdown.parts
    assert (stage1.name, exit1.name) == ("stage1", "exit1")
    assert stage1.bytes_ratio + exit1.bytes_ratio == pytest.approx(breakdown.term(BYTES).ratio)
    total = stage1.utilization_ratio + exit1.utilization_ratio
    assert total == pytest.approx(breakdown.term(UTILIZATION).ratio)
    assert exit1.bytes_ratio == pytest.approx(0.58)
    assert exit1.utilization_ratio == pytest.approx((2.2 - 1 / 8) / 10)


def test_a_mixture_is_its_paths_at_their_shares_and_its_slow_calls_are_a_term() -> None:
    runs = {"stage1": 1.0, "exit1": 1.0, "stage2": 0.25, "final": 0.25}
    mixed = Inference(MIXTURE, 3 * MB + 0.25 * 6 * MB, runs, 0.5, 15.0, 18.0)
    beside = dataclasses.replace(PLAIN_RUN, measured_ms=11.0)
    breakdown = break_down(mixed, beside, PARTS)
    rho = 4.5 / 8
    assert breakdown.measured_ratio == 18 / 11
    assert breakdown.term(SLOW).ms == pytest.approx(3 - rho * 1)
    expected_ms = 0.5 + 2.2 + 0.25 * (1 + 0.49) - rho * 1
    assert breakdown.term(UTILIZATION).ms == pytest.approx(expected_ms)
    assert adds_up(breakdown)


@pytest.mark.parametrize("seed", range(20))
def test_any_numbers_add_up(seed: int) -> None:
    """Whatever was measured, also parts faster than their roofline, and MACs that do not add up."""
    rng = np.random.default_rng(seed)

    def random_part(name: str) -> PartRoofline:
        rows = [("Conv 3x3", *rng.integers(0, 10**7, 3).tolist()) for _ in range(3)]
        return part(name, "stage", float(rng.uniform(0.01, 30)), *rows)

    parts = {name: random_part(name) for name in ("a", "b", "baseline")}
    values = rng.uniform(0.1, 40, 8).tolist()
    runs = dict(zip("ab", rng.uniform(0, 1, 2).tolist(), strict=True))
    ours = Inference("path", values[0] * MB, runs, *values[1:4])
    plain = Inference("baseline", values[4] * MB, {"baseline": 1.0}, *values[5:8])
    assert adds_up(break_down(ours, plain, parts))


def test_graphs_of_the_paths() -> None:
    rows = [
        *(("stage1", "stage"), ("exit1", "branch"), ("stage2", "stage"), ("exit2", "branch")),
        ("final", "branch"),  # of the same stage
    ]
    none = summarize(np.ones(1))
    parts = [PartTiming(name, kind, 0, none, (1.0,)) for name, kind in rows]
    assert path_graphs(parts)["final"] == ["stage1", "exit1", "stage2", "exit2", "final"]
    assert path_graphs(parts, ["exit1"]) == {
        "exit1": ["stage1", "exit1"],
        "exit2": ["stage1", "stage2", "exit2"],
        "final": ["stage1", "stage2", "exit2", "final"],
    }


# words


@pytest.fixture
def explanation() -> Explanation:
    breakdown = break_down(EXIT1_RUN, PLAIN_RUN, PARTS)
    return Explanation(PEAKS, None, tuple(PARTS.values()), (breakdown,), None)


def test_words_name_what_is_heavy_largest_first(explanation: Explanation) -> None:
    (breakdown,) = explanation.breakdowns
    terms = [
        *("exit1: Eq. 5 says 0.375, measured 1.300", "+0.580 bytes of exit1"),
        *("6.1 MB, 98% of it in its fully connected layer", "+0.207 low utilization of exit1"),
        *("2.2 ms", "0.125 for as many MACs", "2 operators of 0.5 MMACs"),
        *("+0.072 session", "+0.041 gate and copies", "+0.025 low utilization of stage1"),
        *("0.5 ms", "0.25 for as many MACs", "one operator of 2 MMACs"),
    ]
    assert not missing(breakdown_text(breakdown, explanation), *terms)
    short = reasons_text(explanation)
    assert not missing(short, "+0.580 bytes of exit1, +0.207", "+0.072 session, +0.066 the rest")
    assert "MMACs" not in short


def test_words_of_terms_below_0_and_within_the_noise(explanation: Explanation) -> None:
    fast = dataclasses.replace(STAGE1, measured_ms=1.0)
    run = dataclasses.replace(EXIT1_RUN, p10_ms=10.0, measured_ms=10.0)
    parts = {**PARTS, "stage1": fast}
    breakdown = break_down(run, PLAIN_RUN, parts)
    terms = tuple(
        dataclasses.replace(term, interval=Interval(term.ratio, term.ratio - 1, term.ratio + 1))
        if term.name == SESSION
        else term
        for term in breakdown.terms
    )
    said = breakdown_text(
        dataclasses.replace(breakdown, terms=terms),
        dataclasses.replace(explanation, parts=tuple(parts.values())),
    )
    assert "-0.125 stage1 is better utilized than the plain backbone" in said
    session = "session (graphs are faster in sequence than timed alone), within the noise"
    assert session in said
    steady = dataclasses.replace(PLAIN_RUN, p10_ms=6.0)  # its slow calls take longer than ours
    said = breakdown_text(break_down(EXIT1_RUN, steady, PARTS), explanation)
    assert "-0.150 slow calls, " in said
    slow = faster_text(dataclasses.replace(explanation, parts=tuple(parts.values())))
    assert slow is not None
    assert slow.startswith("Faster than their roofline (measured over roofline): stage1 (0.50).")
    assert faster_text(explanation) is None


def test_words_of_the_peak_and_of_one_that_is_not_known(explanation: Explanation) -> None:
    assert not missing(
        peaks_text(explanation),
        *("CPUExecutionProvider", "fp32", "1 GMAC/s", "256 x 256"),
        *("10 GB/s over 976 KiB", "1 GB/s over 95 MiB"),
    )
    unknown = Explanation(None, "the peak of it is not measured", (), (), None)
    assert not missing(peaks_text(unknown), "No breakdown", "the peak of it is not measured")


# measured


def test_everything_of_a_bundle_is_explained(bundle: Path) -> None:
    report = run_bench(bundle, None, OPTIONS)
    found = report.explanation
    assert found is not None
    assert found.peaks is not None
    assert (found.peaks.provider, found.peaks.precision) == ("CPUExecutionProvider", "fp32")
    assert [(it.name, it.kind, it.macs) for it in found.parts] == [
        ("stage1", "stage", 300),
        ("exit1", "branch", 50),
        ("stage2", "stage", 600),
        ("final", "branch", 100),
        ("baseline", "baseline", 1000),
    ]
    for timing, it in zip(report.parts, found.parts, strict=False):
        assert it.measured_ms == np.quantile(timing.times_ms, 0.1)
    assert [it.name for it in found.breakdowns] == ["exit1", "final"]
    for breakdown, path in zip(found.breakdowns, report.paths, strict=True):
        assert breakdown.measured_ratio == path.ratio
        assert breakdown.macs_ratio == path.macs_ratio
        assert adds_up(breakdown)
        slow, plain_slow = (
            it.latency.p50_ms - np.quantile(it.times_ms, 0.1) for it in (path, report.baseline)
        )
        assert breakdown.term(SLOW).ms == pytest.approx(slow - path.macs_ratio * plain_slow)
        for term in breakdown.terms:
            assert term.interval is not None
            assert term.interval.value == term.ratio
            assert term.interval.low <= term.interval.high
    assert [it.name for it in found.breakdowns[1].parts] == ["stage1", "exit1", "stage2", "final"]
    assert found.model is not None
    assert found.model.parts == 4
    assert decode(Explanation, json.loads(json.dumps(encode(found)))) == found


def test_the_mixture_is_explained_without_branches_that_are_switched_off(
    tmp_path: Path, leaving_at: LeavingAt
) -> None:
    network = dataclasses.replace(NETWORK, threshold=ee.NEVER)
    bundle = tiny.write_bundle(tmp_path, network, baseline=True)
    images = BenchImages("test", leaving_at([0, 1, 0, 0], [3, 4, 5, 6]), None)
    report = run_bench(bundle, images, OPTIONS)
    assert report.explanation is not None
    assert report.mixture is not None
    mixture = report.explanation.breakdowns[-1]
    assert mixture.name == MIXTURE
    assert [it.name for it in mixture.parts] == ["stage1", "stage2", "final"]
    assert mixture.macs_ratio == report.mixture.macs_ratio == 1
    assert mixture.measured_ratio == pytest.approx(report.mixture.early_exit.ratio.value, rel=1e-12)
    assert adds_up(mixture)


def test_one_round_has_no_intervals(bundle: Path) -> None:
    report = run_bench(bundle, None, dataclasses.replace(OPTIONS, rounds=1))
    assert report.explanation is not None
    assert report.explanation.breakdowns[0].terms[0].interval is None


def test_a_network_without_branches(tmp_path: Path) -> None:
    """One stage and one exit: nothing to choose, and too few parts to fit."""
    one = dataclasses.replace(NETWORK, stages=NETWORK.stages[:1], stage_macs=(300,))
    bundle = tiny.write_bundle(tmp_path, one, baseline=True)
    report = run_bench(bundle, None, OPTIONS)
    assert report.explanation is not None
    (breakdown,) = report.explanation.breakdowns
    assert breakdown.name == "final"
    assert adds_up(breakdown)
    assert report.explanation.model is None
    assert report.no_advice is not None
    assert "this network has no branches" in report.no_advice


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (QuantizationEntry("all", "minmax", "fp16"), "int8"),
        (QuantizationEntry("classifier", "dynamic", "fp32"), "fp32"),
        (QuantizationEntry("classifier", "dynamic", "fp16"), "fp16"),
    ],
)
def test_the_peak_is_of_the_precision_that_convolutions_run_in(
    bundle: Path, entry: QuantizationEntry, expected: str
) -> None:
    manifest = ee.load_manifest(bundle)
    int8 = dataclasses.replace(manifest, precision="int8", quantization=entry)
    assert product_precision(int8) == expected


@pytest.mark.parametrize(
    ("graph", "peak", "why"),
    [(True, False, "no peak here"), (False, True, "exit1.onnx"), (False, False, "exit1.onnx")],
)
def test_without_peak_or_graph_there_is_no_breakdown_and_the_report_says_why(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, graph: bool, peak: bool, why: str
) -> None:
    def no_graphs(runner: Any) -> Any:
        raise BackendError("no peak here")

    if not peak:
        monkeypatch.setattr(OnnxRuntimeRunner, "bare_graphs", no_graphs)
    image = np.zeros((1, 3, 8, 8), np.float32)
    with ee.load(bundle, threads=1) as session, ee.load_baseline(bundle, threads=1) as plain:
        if not graph:
            (bundle / "exit1.onnx").unlink()
        explainer = explainer_of(bundle, session, plain, image)
        times = measure_paths(session, plain, image, OPTIONS, ignore_progress, explainer.turns)
        found = explainer.explain(times, None)
    assert (found.peaks, found.parts, found.breakdowns) == (None, (), ())
    assert not missing(found.not_measured, why)
    assert (found.model is not None) is graph  # it needs no peak
    assert len(times.paths) == 2


def test_what_is_not_asked_for_is_not_measured(bundle: Path) -> None:
    report = run_bench(bundle, None, dataclasses.replace(OPTIONS, explain=False))
    assert (report.explanation, report.advice, report.no_advice) == (None, None, None)
