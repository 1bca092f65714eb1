"""Two reports side by side, with differences that were planted and without any."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.gate import NEVER
from support.messages import missing, refused
from support.reports import baseline_and_early_exit, made_energy, made_report

from edgeexit.bench import BenchReport
from edgeexit.bench.compare.compare import compare_reports
from edgeexit.bench.render.comparison import comparison_verdict
from edgeexit.bench.results.backends import BackendPaths, Backends
from edgeexit.bench.results.comparison import (
    TO_BASELINE,
    ComparedFigure,
    ReportComparison,
    SetupDifference,
)
from edgeexit.bench.results.energy import Energy, EnergyTurn
from edgeexit.bench.results.scenarios import (
    BatchRate,
    OfflineResult,
    Scenarios,
    Server,
    ServerResult,
    Stream,
    StreamResult,
)
from edgeexit.bench.results.state import DeviceState, RunState
from edgeexit.errors import InputError
from edgeexit.statistics import BREAK_EVEN, Interval
from edgeexit.statistics.drift import Drift
from edgeexit.statistics.percentiles import percentiles

NAMES = ("a.json", "b.json")


def figures_of(comparison: ReportComparison) -> dict[tuple[str, str, str], ComparedFigure]:
    return {(it.section, it.name, it.unit): it for it in comparison.figures}


def beyond(comparison: ReportComparison) -> set[tuple[str, str, str]]:
    return {key for key, figure in figures_of(comparison).items() if figure.differs}


# no difference


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scatter", [0.003, 0.05])
def test_two_runs_of_the_same_are_no_difference(seed: int, scatter: float) -> None:
    first = made_report(seed=2 * seed, scatter=scatter)
    second = made_report(seed=2 * seed + 1, scatter=scatter)
    comparison = compare_reports(first, second, NAMES)
    assert comparison.differences == ()
    assert beyond(comparison) == set()
    said = comparison_verdict(comparison)
    assert said.startswith("No difference is larger than the noise (")
    assert "b.json is neither faster nor slower than a.json" in said


def test_less_than_two_percent_is_never_a_difference() -> None:
    comparison = compare_reports(
        made_report(scatter=1e-4), made_report(seed=1, scatter=1e-4, scale=1.015)
    )
    figure = figures_of(comparison)["exit paths", "plain backbone", "ms"]
    assert figure.interval is not None
    assert figure.interval.low > 1.01  # the interval alone would say so
    assert beyond(comparison) == set()


# planted differences


def test_a_slower_device_is_slower_everywhere_and_gains_the_same() -> None:
    comparison = compare_reports(made_report(), made_report(seed=1, scale=1.5), NAMES)
    paths = {("exit paths", name, "ms") for name in ("plain backbone", "exit1", "final")}
    mixture = {("mixture", name, "ms") for name in ("plain backbone", "early exit")}
    assert beyond(comparison) == paths | mixture
    for figure in comparison.figures:
        assert figure.interval is not None
        expected = 1.0 if figure.unit == TO_BASELINE else 1.5
        assert figure.ratio == pytest.approx(expected, rel=0.01)
        assert figure.interval.low <= expected * 1.005
        assert figure.interval.high >= expected * 0.995
    said = comparison_verdict(comparison)
    assert said.startswith(
        "b.json against a.json: early exit (images one by one, mean) is slower, 1.5"
    )
    assert "plain backbone (images one by one, mean) is slower, 1.5" in said
    assert "Of 2 more, 0 are better and 2 worse." in said
    assert "The other 3 figures differ by no more than the noise." in said
    assert "run both again" in said  # the set-ups are the same


def test_a_faster_exit_alone_is_found_where_it_is() -> None:
    comparison = compare_reports(made_report(), made_report(seed=1, path_scale=0.7))
    assert beyond(comparison) == {
        ("exit paths", "exit1", "ms"),
        ("exit paths", "exit1", TO_BASELINE),
        ("mixture", "early exit", "ms"),
        ("mixture", "early exit", TO_BASELINE),
    }
    assert all(figure.second_is_better for figure in comparison.figures if figure.differs)
    said = comparison_verdict(comparison)
    assert "exit1 (exit paths, median) is faster, 0.70" in said
    assert "early exit (images one by one, mean) takes less of the plain backbone's time" in said
    assert "Of 1 more, 1 are better" in said


def test_a_device_that_wandered_hides_what_is_smaller() -> None:
    first = made_report()
    baseline = first.baseline
    times_ms = np.array(baseline.times_ms) * np.repeat([1.0, 1.0, 1.4, 1.4, 1.0], 60)
    wandering = replace(first, baseline=replace(baseline, times_ms=tuple(times_ms.tolist())))
    comparison = compare_reports(wandering, made_report(seed=1, path_scale=0.8))
    figure = figures_of(comparison)["exit paths", "exit1", "ms"]
    assert figure.noise == pytest.approx(0.4, abs=0.02)
    assert figure.differs is False


def test_a_path_that_wandered_is_not_judged_by_the_others() -> None:
    first = made_report()
    exit1, final = first.paths
    times_ms = np.array(final.times_ms) * np.repeat([1.0, 3.0, 1.0, 1.0, 3.0], 60)
    final = replace(final, times_ms=tuple(times_ms.tolist()))
    second = made_report(seed=1, scale=1.5)
    comparison = compare_reports(replace(first, paths=(exit1, final)), second)
    found = beyond(comparison)
    assert ("exit paths", "exit1", "ms") in found
    assert ("exit paths", "final", "ms") not in found


def test_a_drift_during_the_mixture_widens_its_noise() -> None:
    first = replace(made_report(), drifts=(Drift("mixture", (2.0, 2.0, 2.5)),))
    comparison = compare_reports(first, made_report(seed=1, scale=1.2))
    figures = figures_of(comparison)
    assert figures["mixture", "early exit", "ms"].noise == pytest.approx(0.25)
    assert figures["mixture", "early exit", "ms"].differs is False
    assert figures["exit paths", "plain backbone", "ms"].differs is True


def test_hold_ups_of_the_plain_backbone_widen_the_noise_of_means() -> None:
    first = made_report()
    mixture = first.mixture
    assert mixture is not None
    baseline, early_exit = mixture.runs
    times_ms = np.array(baseline.times_ms)
    times_ms[:, ::10] += 8.0  # a tenth of the calls waits for something else: 0.8 ms on average
    baseline = replace(baseline, times_ms=tuple(map(tuple, times_ms.tolist())))
    held_up = replace(mixture, runs=(baseline, early_exit))
    second = made_report(seed=1, scale=1.3)
    figures = figures_of(compare_reports(replace(first, mixture=held_up), second))
    assert figures["mixture", "early exit", "ms"].noise == pytest.approx(0.4, abs=0.01)
    assert figures["mixture", "early exit", "ms"].differs is False


def test_the_same_images_are_drawn_of_both() -> None:
    first, second = made_report(scatter=1e-3), made_report(seed=1, scatter=1e-3)
    paired = figures_of(compare_reports(first, second))["mixture", "early exit", "ms"].interval
    other_seed = replace(second, options=replace(second.options, seed=1))
    apart = figures_of(compare_reports(first, other_seed))["mixture", "early exit", "ms"].interval
    assert paired is not None
    assert apart is not None
    # which image leaves where is most of the scatter here, and the same in both
    assert paired.high - paired.low < 0.1 * (apart.high - apart.low)


def test_too_few_rounds_give_no_interval_and_no_verdict() -> None:
    def few(scale: float) -> BenchReport:
        report = made_report(rounds=2, scale=scale)
        assert report.mixture is not None
        runs = baseline_and_early_exit(np.full((2, 1), scale), np.full((2, 1), 2 * scale))
        one = replace(report.mixture, samples=1, left_at=(0,), runs=runs)
        return replace(report, mixture=one)

    comparison = compare_reports(few(1.0), few(3.0))
    assert {figure.section for figure in comparison.figures} == {"exit paths", "mixture"}
    assert all(figure.differs is None for figure in comparison.figures)
    assert not missing(comparison_verdict(comparison), "No difference can be determined", "too few")


# what differs between the set-ups


def test_differences_of_the_setups_come_in_order() -> None:
    first = made_report()
    second = replace(
        first,
        bundle=replace(first.bundle, precision="int8", folder="elsewhere"),
        device=replace(
            first.device, cpu="Other CPU", threads=None, versions={"onnxruntime": "1.24.0"}
        ),
    )
    comparison = compare_reports(first, second)
    assert comparison.differences == (
        SetupDifference("precision", "fp32", "int8"),
        SetupDifference("processor", "Test CPU, 4 cores", "Other CPU, 4 cores"),
        SetupDifference("threads per graph", "1", "the backend's choice"),
        SetupDifference("onnxruntime on the device", "1.23.2", "1.24.0"),
    )
    assert comparison.warnings == ()


def test_an_exit_that_is_off_differs_from_one_that_nobody_reaches() -> None:
    """The branch of the latter is run, and costs time."""
    first, second = (
        replace(report, bundle=replace(report.bundle, thresholds={"exit1": threshold}))
        for report, threshold in ((made_report(), 1.5), (made_report(), NEVER))
    )
    (difference,) = compare_reports(first, second).differences
    assert difference == SetupDifference("thresholds", "exit1 1.5", "exit1 never")


def test_other_networks_are_compared_with_a_warning() -> None:
    first = made_report()
    bundle = replace(first.bundle, backbone="resnet18", input_size=(3, 224, 224))
    second = replace(first, bundle=bundle)
    (networks, sizes) = compare_reports(first, second).warnings
    assert networks.startswith("These are different networks, tiny n and resnet18 n")
    assert not missing(sizes, "size", "(3, 8, 8)", "(3, 224, 224)")


def test_networks_of_other_classes_are_refused() -> None:
    first = made_report()
    second = replace(first, bundle=replace(first.bundle, num_classes=1000))
    facts = ("tiny n fp32", "expected", "same classes", "got 10 and 1000", "benchmark two")
    with refused(InputError, *facts):
        compare_reports(first, second)


def test_a_device_that_was_slowed_down_is_said() -> None:
    nothing = DeviceState((), (), ())
    second = replace(made_report(), state=RunState(nothing, nothing, ("hot",)))
    (warning,) = compare_reports(made_report(), second).warnings
    assert warning.startswith(
        "THE DEVICE OF THE SECOND REPORT WAS SLOWED DOWN DURING ITS RUN (hot)"
    )


def test_what_one_report_lacks_is_left_out_and_said() -> None:
    first, without = made_report(), made_report(images=0)
    comparison = compare_reports(first, replace(without, paths=without.paths[:1]))
    assert {figure.section for figure in comparison.figures} == {"exit paths"}
    paths, mixture = comparison.left_out
    assert not missing(paths, "only one of the reports", "final")
    assert not missing(mixture, "one by one", "only one of the reports")


def test_other_backends_are_compared_path_by_path() -> None:
    def measured(seed: int) -> BenchReport:
        report = made_report(seed=seed)
        over = (Interval(1, 1, 1),) * 3
        other = BackendPaths("openvino", "CPU", "fp32 4", report.baseline, report.paths, over)
        return replace(report, backends=Backends("onnxruntime", "openvino", (other,), (), ()))

    names = {figure.name for figure in compare_reports(measured(1), measured(2)).figures}
    assert {"exit1, openvino", "plain backbone, openvino"} <= names
    alone = compare_reports(measured(1), made_report(seed=2))
    assert any("exit1, openvino" in line for line in alone.left_out)
    assert "layers in openvino computed in" in [it.what for it in alone.differences]


def test_mixtures_of_other_images_are_not_compared() -> None:
    comparison = compare_reports(made_report(), made_report(images=100))
    assert {figure.section for figure in comparison.figures} == {"exit paths"}
    (sentence,) = comparison.left_out
    assert sentence.startswith("Different images were run one by one (200 of photos, 100 of photo")


# scenarios and energy


def scenarios(scale: float, seed: int) -> Scenarios:
    times_ms = scale * np.random.default_rng(seed).normal(1, 0.01, 500)
    stream = StreamResult("early exit", float(times_ms.mean()), percentiles(times_ms), 1, ())
    rate = 1000 / scale
    offline = OfflineResult("early exit", (BatchRate(8, 800, rate),), 8, rate, 1.0)
    return Scenarios("photos", 200, Stream(1, 90, (stream,)), None, (offline,), None)


def test_streams_are_compared_by_their_leading_percentile() -> None:
    first = replace(made_report(), scenarios=scenarios(1.0, 0))
    second = replace(made_report(seed=1, scale=2), scenarios=scenarios(2.0, 1))
    comparison = compare_reports(first, second)
    figures = figures_of(comparison)
    stream = figures["single stream", "early exit", "ms"]
    assert first.mixture is not None
    p90 = next(it for it in first.mixture.early_exit.percentiles if it.percent == 90)
    assert (stream.statistic, stream.first) == ("p90", p90.value_ms)
    assert stream.ratio == pytest.approx(2.0, rel=0.02)
    assert stream.differs is True
    offline = figures["offline", "early exit", "samples/s"]
    assert (offline.ratio, offline.differs, offline.second_is_better) == (0.5, None, False)
    assert "not judged: 1 figures" in comparison_verdict(comparison)
    even = compare_reports(first, replace(first, scenarios=scenarios(2.0, 0)))
    assert not missing(comparison_verdict(even), "No difference", "not judged: 1 figures")


def test_percentiles_that_the_reports_do_not_know_are_left_out() -> None:
    """Of nine images there is no 90th percentile, however often they were run."""
    stream = StreamResult("early exit", 2.0, percentiles(np.ones(9)), None, ())
    server = served(1.0, 0).server
    assert server is not None
    waited = replace(server.results[0], percentiles=percentiles(np.ones(9)))
    queue = replace(server, results=(waited,))
    few = Scenarios("photos", 9, Stream(1, 90, (stream,)), server=queue)
    report = replace(made_report(images=9, passes=20), scenarios=few)
    comparison = compare_reports(report, report)
    assert {figure.section for figure in comparison.figures} == {"exit paths", "mixture"}
    single, server = comparison.left_out
    assert not missing(single, "Too few", "p90 of the single stream", "early exit")
    assert not missing(server, "Too few", "p99 of the server", "early exit")


def served(scale: float, seed: int, qps: float = 20.0, stable: bool = True) -> Scenarios:
    times_ms = scale * np.random.default_rng(seed).gamma(20, 0.5, 500)
    mean_ms, found = float(times_ms.mean()), percentiles(times_ms)
    result = ServerResult(
        *("early exit", 500, 0, qps, 0.2 * scale, stable, 0.2 * scale, 9.0, mean_ms),
        *(found, tuple(times_ms.tolist())),
    )
    return Scenarios("photos", 200, server=Server(qps, 25.0, 500, (result,)))


def test_servers_are_compared_by_p99_and_a_noise_that_waiting_makes_larger() -> None:
    first = replace(made_report(), scenarios=served(1.0, 0))
    second = replace(made_report(seed=1), scenarios=served(2.0, 1))
    figures = figures_of(compare_reports(first, second))
    server, path = figures["server", "early exit", "ms"], figures["exit paths", "exit1", "ms"]
    assert server.statistic == "p99"
    assert server.ratio == pytest.approx(2.0, rel=0.1)
    assert server.differs is True
    assert server.noise >= BREAK_EVEN * (2 - 0.4) / (1 - 0.4) > path.noise


@pytest.mark.parametrize(
    ("changes", "said"), [({"qps": 30.0}, "different arrivals"), ({"stable": False}, "queue grew")]
)
def test_servers_of_other_arrivals_or_queues_that_grow_are_left_out(
    changes: dict[str, Any], said: str
) -> None:
    first = replace(made_report(), scenarios=served(1.0, 0))
    second = replace(made_report(), scenarios=served(1.0, 0, **changes))
    comparison = compare_reports(first, second)
    assert not any(figure.section == "server" for figure in comparison.figures)
    assert any(said in sentence for sentence in comparison.left_out)


def test_energy_is_compared_by_turns() -> None:
    first = replace(made_report(), energy=made_energy())
    second = replace(made_report(seed=1), energy=made_energy(1.3))
    figure = figures_of(compare_reports(first, second))["energy", "early exit", "mJ"]
    assert (figure.first, figure.second) == pytest.approx((40.0, 52.0))
    assert figure.differs is True
    assert not figure.second_is_better


@pytest.mark.parametrize(
    ("other", "facts"),
    [
        (made_energy(kind="INA3221"), ("different sensors", "RAPL and INA3221")),
        (replace(made_energy(), runs=()), ("Energy", "only one of the reports")),
        (replace(made_energy(), source="other photos"), ("Energy", "different images")),
    ],
)
def test_energy_of_other_sensors_is_not_compared(other: Energy, facts: tuple[str, ...]) -> None:
    first = replace(made_report(), energy=made_energy())
    (left_out,) = compare_reports(first, replace(made_report(), energy=other)).left_out
    assert not missing(left_out, *facts)


def test_energy_on_fewer_of_the_same_images_is_not_compared() -> None:
    """As of images one by one: another share of them may leave early."""
    few = replace(made_report(images=100), energy=made_energy(0.5))
    comparison = compare_reports(replace(made_report(), energy=made_energy()), few)
    assert "energy" not in {figure.section for figure in comparison.figures}
    assert "Energy was measured on different images." in comparison.left_out


def test_idle_power_that_drifted_hides_smaller_differences_in_energy() -> None:
    second = made_energy(1.3)
    idle = tuple(EnergyTurn(1.0, each, 0) for each in (1.5, 1.5, 1.5, 1.5, 2.1))
    drifted = replace(made_report(), energy=replace(second, idle_turns=idle))
    comparison = compare_reports(replace(made_report(), energy=made_energy()), drifted)
    figure = figures_of(comparison)["energy", "early exit", "mJ"]
    assert figure.noise == pytest.approx(0.4)
    assert figure.differs is False
