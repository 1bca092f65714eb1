"""Timings -> explanation: the additional turns that it needs, and the analysis of their times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from edgeexit_runtime import Manifest, Session
from edgeexit_runtime.bundle.quantization_entry import CLASSIFIER
from edgeexit_runtime.timing.turns import Turn
from numpy.typing import NDArray

from edgeexit.bench.results.explanation import Breakdown, Explanation, LinearModel
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.results.roofline import PartRoofline, Peaks
from edgeexit.bench.roofline.breakdown import break_down, part_roofline
from edgeexit.bench.roofline.call_times import CallTimes, call_times, resampled_times
from edgeexit.bench.roofline.inferences import inferences, path_runs, steps_of
from edgeexit.bench.roofline.linear_model import Observation, fit_linear_model
from edgeexit.bench.roofline.peaks import PeakRuns, peak_runs
from edgeexit.bench.roofline.traffic import Traffic, bundle_traffic
from edgeexit.bench.roofline.turns import baseline_graph_turn, gates_turn
from edgeexit.bench.timing.paths import PathTimes, part_list
from edgeexit.errors import BundleError
from edgeexit.statistics import Interval

PEAKS = "peaks"  # name of a turn
BASELINE = "baseline"  # kind of a part


def explainer_of(
    engine_dir: str | Path, session: Session, baseline: Session, image: NDArray[np.float32]
) -> Explainer:
    """Return the explainer of a bundle's times, as far as its graphs and this machine allow."""
    try:
        traffic = bundle_traffic(engine_dir)
    except BundleError as error:
        return Explainer(session, baseline, image, {}, str(error))
    runs = peak_runs(session, product_precision(session.manifest))
    return Explainer(session, baseline, image, traffic, runs)


class Explainer:
    """Adds its own turns to a measurement, and explains the result.

    Args:
        image: (1, C, H, W) float32.
        traffic: of each graph; empty if that of one graph cannot be counted.
        peaks: runs that measure the machine's peaks, or the reason why there are none.
    """

    def __init__(
        self,
        session: Session,
        baseline: Session,
        image: NDArray[np.float32],
        traffic: Mapping[str, Traffic],
        peaks: PeakRuns | str,
    ) -> None:
        graph, gates = baseline_graph_turn(baseline, image), gates_turn(session, baseline, image)
        self._turns = graph, gates
        self._own, self._exits = part_list(session), session.manifest.exits
        (self._baseline,) = baseline.manifest.exits
        self._traffic, self._peaks = traffic, peaks

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of the plain backbone's graph alone, of gate and copies, and of the peaks."""
        if isinstance(self._peaks, str):
            return self._turns
        return *self._turns, Turn(PEAKS, lambda: None, self._peaks.call)

    def explain(self, times: PathTimes, mixture: Mixture | None) -> Explanation:
        """Return the explanation of measured times."""
        if not self._traffic:
            return Explanation(None, str(self._peaks), (), (), None)
        calls = call_times(times, mixture)
        model = self._model(calls)
        if isinstance(self._peaks, str):
            return Explanation(None, self._peaks, (), (), model)
        peaks = self._peaks.peaks(times.more[PEAKS])
        parts = self._parts(calls, peaks)
        breakdowns = self._breakdowns(calls, parts)
        samples = [
            self._breakdowns(sample, _timed(parts, sample))
            for sample in resampled_times(times, mixture)
        ]
        if samples:
            columns = zip(*samples, strict=True)
            breakdowns = tuple(map(_with_intervals, breakdowns, columns))
        return Explanation(peaks, None, tuple(parts.values()), breakdowns, model)

    def _parts(self, calls: CallTimes, peaks: Peaks) -> dict[str, PartRoofline]:
        plain = self._baseline
        session_bytes = sum(_weight_bytes(self._traffic[name]) for name, _, _ in self._own)
        baseline_bytes = _weight_bytes(self._traffic[plain.name])
        return {
            name: part_roofline(
                name,
                self._traffic[name],
                kind,
                macs,
                calls.graphs[name],
                baseline_bytes if kind == BASELINE else session_bytes,
                peaks,
            )
            for name, kind, macs in (*self._own, (plain.name, BASELINE, plain.path_macs))
        }

    def _breakdowns(
        self, calls: CallTimes, parts: Mapping[str, PartRoofline]
    ) -> tuple[Breakdown, ...]:
        pairs = inferences(self._exits, self._baseline, calls)
        return tuple(break_down(ours, plain, parts) for ours, plain in pairs)

    def _model(self, calls: CallTimes) -> LinearModel | None:
        baseline, runs = self._baseline.name, path_runs(steps_of(self._exits))
        macs = {**{name: count for name, _, count in self._own}, baseline: self._baseline.path_macs}
        moved = {
            name: sum(operator.bytes for operator in operators)
            for name, operators in self._traffic.items()
        }

        def observed(name: str, graphs: Sequence[str], measured_ms: float) -> Observation:
            total_macs, total_bytes = (sum(of[graph] for graph in graphs) for of in (macs, moved))
            return Observation(name, total_macs, total_bytes, len(graphs), measured_ms)

        return fit_linear_model(
            [observed(name, [name], calls.graphs[name]) for name, _, _ in self._own],
            [observed(name, graphs, calls.paths[name].p10_ms) for name, graphs in runs.items()],
            observed(baseline, [baseline], calls.paths[baseline].p10_ms),
        )


def product_precision(manifest: Manifest) -> str:
    """Return the precision of nearly all MACs: the fallback if only classifiers are INT8."""
    entry = manifest.quantization
    if entry is not None and entry.extent == CLASSIFIER:
        return entry.fallback
    return manifest.precision


def _weight_bytes(operators: Traffic) -> int:
    return sum(operator.weight_bytes for operator in operators)


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
