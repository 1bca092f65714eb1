"""Timings -> explanation: the additional turns that it needs, and the analysis of their times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime import Manifest, Session
from edgeexit_runtime.bundle.quantization_entry import CLASSIFIER
from edgeexit_runtime.timing.turns import Turn
from numpy.typing import NDArray

from edgeexit.bench.results.explanation import Breakdown, Explanation, LinearModel
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.results.roofline import PartRoofline, Peaks
from edgeexit.bench.roofline.breakdown import Inference, break_down, part_roofline
from edgeexit.bench.roofline.inferences import (
    CallTimes,
    baseline_graph_turn,
    call_times,
    gates_turn,
    resampled_times,
)
from edgeexit.bench.roofline.linear_model import Observation, fit_linear_model
from edgeexit.bench.roofline.peaks import PeakRuns, peak_runs
from edgeexit.bench.roofline.traffic import Traffic, bundle_traffic
from edgeexit.bench.timing.paths import PathTimes
from edgeexit.errors import BundleError
from edgeexit.statistics import Interval

PEAKS = "peaks"  # name of a turn


@dataclass(frozen=True, slots=True, eq=False)
class Explainer:
    """Adds its own turns to a measurement, and explains the result.

    Attributes:
        turns: of the plain backbone's graph alone, of gate and copies, and of the peaks.
        traffic: of each graph; empty if that of one graph cannot be counted.
        peaks: runs that measure the machine's peaks, or the reason why there are none.
    """

    turns: tuple[Turn, ...]
    traffic: Mapping[str, Traffic]
    peaks: PeakRuns | str

    def explain(self, times: PathTimes, mixture: Mixture | None) -> Explanation:
        """Return the explanation of measured times."""
        calls = call_times(times, mixture)
        model = self._model(times, calls) if self.traffic else None
        if isinstance(self.peaks, str):
            return Explanation(None, self.peaks, (), (), model)
        peaks = self.peaks.peaks(times.calls[PEAKS])
        parts = self._parts(times, calls, peaks)
        breakdowns = _breakdowns(calls, parts)
        samples = [
            _breakdowns(sample, _timed(parts, sample)) for sample in resampled_times(times, mixture)
        ]
        if samples:
            columns = zip(*samples, strict=True)
            breakdowns = tuple(map(_with_intervals, breakdowns, columns))
        return Explanation(peaks, None, tuple(parts.values()), breakdowns, model)

    def _parts(self, times: PathTimes, calls: CallTimes, peaks: Peaks) -> dict[str, PartRoofline]:
        """Return the rooflines of the parts, then of the plain backbone."""
        early_exit = [(part.name, part.kind, part.macs) for part in times.parts]
        plain = [(times.baseline.name, "baseline", times.baseline.path_macs)]
        parts = {}
        for graphs in (early_exit, plain):
            working_set = sum(it.weight_bytes for name, *_ in graphs for it in self.traffic[name])
            for name, kind, macs in graphs:
                of_graph, measured_ms = self.traffic[name], calls.graphs[name]
                parts[name] = part_roofline(
                    name, of_graph, kind, macs, measured_ms, working_set, peaks
                )
        return parts

    def _model(self, times: PathTimes, calls: CallTimes) -> LinearModel | None:
        moved = {name: sum(it.bytes for it in graph) for name, graph in self.traffic.items()}

        def observed(it: Inference) -> Observation:
            total_bytes = sum(moved[name] for name in it.runs)
            return Observation(it.name, it.macs, total_bytes, len(it.runs), it.p10_ms)

        *paths, plain = map(observed, calls.forced)
        parts = [
            Observation(part.name, part.macs, moved[part.name], 1, calls.graphs[part.name])
            for part in times.parts
        ]
        return fit_linear_model(parts, paths, plain)


def explainer_of(
    engine_dir: str | Path, session: Session, baseline: Session, image: NDArray[np.float32]
) -> Explainer:
    """Return the explainer of a bundle's times, as far as its graphs and this machine allow.

    Args:
        image: (1, C, H, W) float32.
    """
    turns: tuple[Turn, ...] = (
        baseline_graph_turn(baseline, image),
        gates_turn(session, baseline, image),
    )
    try:
        traffic = bundle_traffic(engine_dir)
    except BundleError as error:
        return Explainer(turns, {}, str(error))
    peaks = peak_runs(session, product_precision(session.manifest))
    if not isinstance(peaks, str):
        turns = *turns, Turn(PEAKS, lambda: None, peaks.call)
    return Explainer(turns, traffic, peaks)


def product_precision(manifest: Manifest) -> str:
    """Return the precision of nearly all MACs: the fallback if only classifiers are INT8."""
    entry = manifest.quantization
    if entry is not None and entry.extent == CLASSIFIER:
        return entry.fallback
    return manifest.precision


def _breakdowns(calls: CallTimes, parts: Mapping[str, PartRoofline]) -> tuple[Breakdown, ...]:
    *paths, baseline = calls.forced
    pairs = [(path, baseline) for path in paths]
    if calls.mixed is not None:
        pairs.append(calls.mixed)
    return tuple(break_down(ours, plain, parts) for ours, plain in pairs)


def _timed(parts: Mapping[str, PartRoofline], calls: CallTimes) -> dict[str, PartRoofline]:
    """Return the parts with other times."""
    return {
        name: dataclasses.replace(part, measured_ms=calls.graphs[name])
        for name, part in parts.items()
    }


def _with_intervals(breakdown: Breakdown, samples: Sequence[Breakdown]) -> Breakdown:
    """Return the breakdown with intervals of its terms, from breakdowns of resampled rounds."""
    terms = tuple(
        dataclasses.replace(
            term,
            interval=Interval.of(
                term.ratio, np.array([sample.terms[index].ratio for sample in samples])
            ),
        )
        for index, term in enumerate(breakdown.terms)
    )
    return dataclasses.replace(breakdown, terms=terms)
