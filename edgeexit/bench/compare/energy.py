"""Energy in two reports: millijoules per image, from the same kinds of sensors."""

from __future__ import annotations

import numpy as np

from edgeexit.bench.compare.figures import SEED, Section, figure, resampled_ratios
from edgeexit.bench.results.energy import Energy, EnergyRun
from edgeexit.bench.results.report import BenchReport
from edgeexit.statistics import BREAK_EVEN
from edgeexit.statistics.bootstrap import medians
from edgeexit.statistics.drift import drift_between_fifths

MJ_PER_J = 1e3


def compare_energy(first: BenchReport, second: BenchReport) -> Section:
    """Compare medians of turns, if sensors and images are the same."""
    one, other = first.energy, second.energy
    if not one.runs and not other.runs:
        return Section()
    left_out = _not_comparable(one, other)
    if left_out is not None:
        return Section(left_out=(left_out,))
    rng = np.random.default_rng(SEED)
    noise = max(_noise(one), _noise(other))
    others = {run.name: run for run in other.runs}
    figures = []
    for ours in (run for run in one.runs if run.name in others):
        theirs = others[ours.name]
        ratios = resampled_ratios(_turns_mj(ours), _turns_mj(theirs), medians, rng)
        values = MJ_PER_J * ours.sample_j, MJ_PER_J * theirs.sample_j
        figures.append(figure("energy", ours.name, "mJ", "median", values, ratios, noise))
    return Section(tuple(figures))


def _not_comparable(one: Energy, other: Energy) -> str | None:
    if not one.runs or not other.runs:
        return "Energy was measured in only one of the reports."
    if one.source != other.source:
        return "Energy was measured on different images."
    kinds, others = ([sensor.kind for sensor in energy.sensors] for energy in (one, other))
    if kinds != others:
        return (
            "Energy was read by different sensors, which measure different parts of a device: "
            f"{', '.join(kinds)} and {', '.join(others)}."
        )
    return None


def _turns_mj(run: EnergyRun) -> list[float]:
    return [MJ_PER_J * turn.joules / turn.samples for turn in run.turns]


def _noise(energy: Energy) -> float:
    """Return the drift of the idle device's power."""
    idle = np.array([turn.joules / turn.seconds for turn in energy.idle_turns])
    return max(BREAK_EVEN, drift_between_fifths(idle, medians) if idle.min() > 0 else 0.0)
