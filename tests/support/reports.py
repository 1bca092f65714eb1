"""Reports of benchmarks that nobody ran: times as a test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from edgeexit_runtime.timing.calls import summarize
from numpy.typing import NDArray

from edgeexit.bench import (
    BenchOptions,
    BenchReport,
    BundleInfo,
    DeviceInfo,
    Mixture,
    MixtureExit,
    PartTiming,
    PathTiming,
    Run,
)
from edgeexit.bench.results.energy import Energy, EnergyRun, EnergySensor, EnergyTurn
from edgeexit.bench.results.mixture import BASELINE, EARLY_EXIT
from edgeexit.bench.results.state import DeviceState, RunState
from edgeexit.bench.results.timings import WarmUp
from edgeexit.statistics.bootstrap import ratios_of_means
from edgeexit.statistics.percentiles import percentiles

SIZE = (3, 8, 8)
NOTHING_TOLD = DeviceState((), (), ())


def made_run(
    role: str,
    name: str,
    times_ms: NDArray[np.float64],
    over_ms: NDArray[np.float64],
    accuracy: float | None = None,
) -> Run:
    """Return a candidate's run of these times (passes, N), and the baseline's."""
    (ratio,) = ratios_of_means([times_ms], over_ms)
    return Run(
        role=role,
        name=name,
        thresholds={},
        accuracy=accuracy,
        latency=summarize(times_ms),
        percentiles=percentiles(times_ms, independent=times_ms.shape[1]),
        ratio=ratio,
        times_ms=tuple(map(tuple, times_ms.tolist())),
    )


def baseline_and_early_exit(
    ours_ms: NDArray[np.float64],
    theirs_ms: NDArray[np.float64],
    accuracies: Sequence[float | None] = (None, None),
) -> tuple[Run, Run]:
    """Return the runs that every mixture has, of these times (passes, N)."""
    return (
        made_run(BASELINE, "plain backbone", theirs_ms, theirs_ms, accuracies[0]),
        made_run(EARLY_EXIT, "early exit", ours_ms, theirs_ms, accuracies[1]),
    )


def made_report(
    seed: int = 0,
    scale: float = 1.0,
    path_scale: float = 1.0,
    scatter: float = 0.01,
    rounds: int = 60,
    passes: int = 3,
    images: int = 200,
) -> BenchReport:
    """Return a report of made-up times: ms of a normal distribution, no device's.

    The plain backbone takes 2 ms; exit1 0.8 and final 2.4; a third of the images goes on.

    Args:
        seed: of the times, but not of which image leaves where.
        scale: all times are so many times longer.
        path_scale: those of exit1 too.
        scatter: standard deviation over the mean.
        rounds: of 5 calls.
        passes, images: of the mixture; none without images.
    """
    rng = np.random.default_rng(seed)

    def times(median_ms: float, *shape: int) -> NDArray[np.float64]:
        return median_ms * scale * rng.normal(1, scatter, shape)

    def path(name: str, macs: int, median_ms: float, plain: PathTiming | None) -> PathTiming:
        ms = times(median_ms, rounds * 5)
        ratio = 1.0 if plain is None else float(np.median(ms)) / plain.latency.p50_ms
        return PathTiming(name, macs, ratio, macs / 1000, summarize(ms), tuple(ms.tolist()))

    plain = path("baseline", 1000, 2.0, None)
    parts = (("stage1", "stage", 300), ("exit1", "branch", 50), ("stage2", "stage", 600))
    part_ms = [times(macs / 500, rounds * 5) for _, _, macs in parts]
    mixture = None
    if images:
        left_at = np.random.default_rng(7).random(images) < 1 / 3
        by_exit = np.where(left_at, 2.4, 0.8 * path_scale)
        ours = by_exit * times(1.0, passes, images)
        theirs = times(2.0, passes, images)
        shares = (float(1 - left_at.mean()), float(left_at.mean()))
        exits = tuple(
            MixtureExit(
                name, threshold, share, summarize(ours[:, left_at == index]), 0.9 + 0.05 * index
            )
            for index, (name, threshold, share) in enumerate(
                zip(("exit1", "final"), (0.5, None), shares, strict=True)
            )
        )
        mixture = Mixture(
            source="photos",
            samples=images,
            exits=exits,
            left_at=tuple(left_at.astype(int).tolist()),
            macs_ratio=0.35 * shares[0] + 1.05 * shares[1],
            runs=baseline_and_early_exit(ours, theirs, (0.93, 0.91)),
        )
    return BenchReport(
        bundle=BundleInfo("out", "tiny", "n", 10, "fp32", SIZE, {"exit1": 0.5}, {"onnx": "1.19.0"}),
        device=DeviceInfo(
            "Test CPU", 4, "Linux", "CPUExecutionProvider", 1, {"onnxruntime": "1.23.2"}
        ),
        options=BenchOptions(threads=1),
        warm_up=WarmUp(1.5, 20, True, (9.0, 9.0)),
        drifts=(),
        parts=tuple(
            PartTiming(name, kind, macs, summarize(ms), tuple(ms.tolist()))
            for (name, kind, macs), ms in zip(parts, part_ms, strict=True)
        ),
        baseline=plain,
        paths=(path("exit1", 350, 0.8 * path_scale, plain), path("final", 1050, 2.4, plain)),
        mixture=mixture,
        scenarios=None,
        explanation=None,
        advice=None,
        no_advice=None,
        energy=Energy((), ("No energy was measured: no sensor.",), "photos", None, (), ()),
        state=RunState(NOTHING_TOLD, NOTHING_TOLD, ()),
    )


def made_energy(scale: float = 1.0, kind: str = "RAPL", name: str = "early exit") -> Energy:
    """Return the energy of one candidate, 40 mJ a sample, read by one sensor."""
    joules = scale * np.array([4.0, 4.04, 3.96, 4.0])
    turns = tuple(EnergyTurn(1.0, each, 100) for each in joules.tolist())
    idle = tuple(EnergyTurn(1.0, each, 0) for each in (1.5, 1.503, 1.5, 1.5))
    per_sample = scale * np.array([0.04, 0.039, 0.0425, 0.025])  # median, lowest, highest, above
    run = EnergyRun(name, 4.0 * scale, *per_sample.tolist(), turns)
    return Energy((EnergySensor(kind, "package-0", "energy_uj"),), (), "photos", 1.5, idle, (run,))


def path_timing(name: str, ratio: float, macs_ratio: float) -> PathTiming:
    times_ms = (ratio * 2, ratio * 2.0, ratio * 2.2)
    macs = round(macs_ratio * 1000)
    return PathTiming(name, macs, ratio, macs_ratio, summarize(np.array(times_ms)), times_ms)


def small_mixture(ratio: float, macs_ratio: float) -> Mixture:
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
        mixture=None if mixed is None else small_mixture(*mixed),
    )
