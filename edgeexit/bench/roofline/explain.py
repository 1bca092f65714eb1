"""Timings -> explanation: the turns that it takes, and what is made of their times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from edgeexit_runtime import Manifest, Session
from edgeexit_runtime.bundle.quantization_entry import CLASSIFIER
from edgeexit_runtime.gate import NEVER, GateOutputs, Routing
from edgeexit_runtime.timing.calls import time_call
from edgeexit_runtime.timing.turns import Turn
from numpy.typing import NDArray

from edgeexit.bench.results.explanation import (
    MIXTURE,
    Breakdown,
    Explanation,
    LinearModel,
    PartRoofline,
    Peaks,
)
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.roofline.breakdown import Inference, break_down, part_roofline, path_runs
from edgeexit.bench.roofline.call_times import (
    BASELINE_GRAPH,
    GATES,
    CallTimes,
    InferenceTime,
    call_times,
    resampled_times,
)
from edgeexit.bench.roofline.linear_model import Observation, fit_linear_model
from edgeexit.bench.roofline.peaks import PeakRuns, peak_runs
from edgeexit.bench.roofline.traffic import Traffic, bundle_traffic
from edgeexit.bench.timing.paths import PathTimes, part_list
from edgeexit.errors import BundleError
from edgeexit.statistics import Interval

PEAKS = "peaks"
BASELINE = "baseline"


def explainer_of(
    engine_dir: str | Path, session: Session, baseline: Session, image: NDArray[np.float32]
) -> Explainer:
    """Return what explains a bundle's times, as far as its graphs and this machine allow."""
    try:
        traffic = bundle_traffic(engine_dir)
    except BundleError as error:
        return Explainer(session, baseline, image, {}, str(error))
    runs = peak_runs(session, product_precision(session.manifest))
    return Explainer(session, baseline, image, traffic, runs)


class Explainer:
    """Adds its own turns to a measurement, and explains what comes out.

    Args:
        image: (1, C, H, W) float32.
        traffic: of each graph; none where one cannot be counted.
        peaks: what measures the machine's, or in words why nothing does.
    """

    def __init__(
        self,
        session: Session,
        baseline: Session,
        image: NDArray[np.float32],
        traffic: Mapping[str, Traffic],
        peaks: PeakRuns | str,
    ) -> None:
        self._session, self._baseline, self._image = session, baseline, image
        self._traffic, self._peaks = traffic, peaks
        self._exits = session.manifest.exits
        self._steps = {exit_.name: exit_.stage for exit_ in self._exits}
        (self._entry,) = baseline.manifest.exits

    @property
    def turns(self) -> list[Turn]:
        """The plain backbone's graph without its session, gate and copies, and the peaks."""
        runner, name = self._baseline.runner, self._entry.name
        run, wait = partial(runner.run_exit, name), runner.synchronize
        turns = [
            Turn(
                BASELINE_GRAPH,
                partial(runner.set_images, self._image),
                lambda: (time_call(run, wait)[0],),
            ),
            Turn(GATES, lambda: None, self._gates_call()),
        ]
        if isinstance(self._peaks, PeakRuns):
            turns.append(Turn(PEAKS, lambda: None, self._peaks.call))
        return turns

    def explain(self, times: PathTimes, mixture: Mixture | None) -> Explanation:
        """Return the explanation of what was measured."""
        if not self._traffic:
            return Explanation(None, str(self._peaks), (), (), None)
        calls = call_times(times, mixture)
        model = self._model(calls)
        if isinstance(self._peaks, str):
            return Explanation(None, self._peaks, (), (), model)
        peaks = self._peaks.peaks(times.more[PEAKS])
        parts = self._parts(calls, peaks)
        breakdowns = self._breakdowns(calls, parts, mixture)
        samples = [
            self._breakdowns(sample, _timed(parts, sample), mixture)
            for sample in resampled_times(times, mixture)
        ]
        if samples:
            columns = zip(*samples, strict=True)
            breakdowns = tuple(map(_with_intervals, breakdowns, columns))
        return Explanation(peaks, None, tuple(parts.values()), breakdowns, model)

    def _gates_call(self) -> Callable[[], tuple[float, ...]]:
        """Return a call that does what a session does besides running graphs, path by path."""
        paths = [(self._session, index) for index in range(len(self._exits))]
        calls = [
            (partial(_gate, session, self._image, index), session.runner.synchronize)
            for session, index in (*paths, (self._baseline, 0))
        ]
        return lambda: tuple([time_call(run, wait)[0] for run, wait in calls])

    def _parts(self, calls: CallTimes, peaks: Peaks) -> dict[str, PartRoofline]:
        own, baseline = part_list(self._session), self._entry
        session_bytes = sum(_weight_bytes(self._traffic[name]) for name, _, _ in own)
        baseline_bytes = _weight_bytes(self._traffic[baseline.name])
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
            for name, kind, macs in (*own, (baseline.name, BASELINE, baseline.path_macs))
        }

    def _breakdowns(
        self, calls: CallTimes, parts: Mapping[str, PartRoofline], mixture: Mixture | None
    ) -> tuple[Breakdown, ...]:
        runs = path_runs(self._steps)
        baseline = self._baseline_inference(calls, calls.paths[self._entry.name])
        found = [
            break_down(
                Inference(
                    exit_.name,
                    exit_.path_macs,
                    dict.fromkeys(runs[exit_.name], 1.0),
                    calls.gates[exit_.name],
                    calls.paths[exit_.name].p10_ms,
                    calls.paths[exit_.name].measured_ms,
                ),
                baseline,
                parts,
            )
            for exit_ in self._exits
        ]
        if mixture is not None and calls.mixture is not None:
            assert calls.baseline_mixture is not None
            beside = self._baseline_inference(calls, calls.baseline_mixture)
            ours = self._mixed_inference(calls, mixture, calls.mixture)
            found.append(break_down(ours, beside, parts))
        return tuple(found)

    def _baseline_inference(self, calls: CallTimes, measured: InferenceTime) -> Inference:
        name, macs = self._entry.name, self._entry.path_macs
        gate_ms = calls.gates[name]
        return Inference(name, macs, {name: 1.0}, gate_ms, measured.p10_ms, measured.measured_ms)

    def _mixed_inference(
        self, calls: CallTimes, mixture: Mixture, measured: InferenceTime
    ) -> Inference:
        """Return the inference of an average image."""
        paths = path_runs(self._steps, [it.name for it in mixture.exits if it.threshold == NEVER])
        runs: dict[str, float] = {}
        for exit_ in mixture.exits:
            for part in paths[exit_.name] if exit_.share else ():
                runs[part] = runs.get(part, 0.0) + exit_.share
        return Inference(
            MIXTURE,
            mixture.macs_ratio * self._entry.path_macs,
            runs,
            sum(exit_.share * calls.gates[exit_.name] for exit_ in mixture.exits),
            measured.p10_ms,
            measured.measured_ms,
        )

    def _model(self, calls: CallTimes) -> LinearModel | None:
        own, baseline, runs = part_list(self._session), self._entry.name, path_runs(self._steps)
        macs = {**{name: count for name, _, count in own}, baseline: self._entry.path_macs}
        moved = {
            name: sum(operator.bytes for operator in operators)
            for name, operators in self._traffic.items()
        }

        def observed(name: str, graphs: Sequence[str], measured_ms: float) -> Observation:
            total_macs, total_bytes = (sum(of[graph] for graph in graphs) for of in (macs, moved))
            return Observation(name, total_macs, total_bytes, len(graphs), measured_ms)

        return fit_linear_model(
            [observed(name, [name], calls.graphs[name]) for name, _, _ in own],
            [observed(name, graphs, calls.paths[name].p10_ms) for name, graphs in runs.items()],
            observed(baseline, [baseline], calls.paths[baseline].p10_ms),
        )


def product_precision(manifest: Manifest) -> str:
    """Return the precision of nearly all MACs: where classifiers alone are INT8, not theirs."""
    entry = manifest.quantization
    if entry is not None and entry.extent == CLASSIFIER:
        return entry.fallback
    return manifest.precision


def _weight_bytes(operators: Traffic) -> int:
    return sum(operator.weight_bytes for operator in operators)


def _gate(session: Session, image: NDArray[np.float32], exit_index: int) -> object:
    """Do what a session does between graphs for an image that leaves at this exit."""
    session.runner.set_images(image)
    routing = Routing(len(image))
    for index in range(exit_index):
        routing.leave(_PASS, index)
    if exit_index + 1 < len(session.manifest.exits):
        routing.leave(_LEAVE, exit_index)
    return routing.leave_all(_LEAVE, exit_index)


_LEAVE, _PASS = (
    GateOutputs(np.array([leaves]), np.zeros(1, np.int32), np.ones(1, np.float32))
    for leaves in (True, False)
)


def _timed(parts: Mapping[str, PartRoofline], calls: CallTimes) -> dict[str, PartRoofline]:
    """Return the parts with other times."""
    return {
        name: dataclasses.replace(part, measured_ms=calls.graphs[name])
        for name, part in parts.items()
    }


def _with_intervals(breakdown: Breakdown, samples: Sequence[Breakdown]) -> Breakdown:
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
