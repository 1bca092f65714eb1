"""Times of calls -> every kind of inference: its times, and the parts that it runs."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from edgeexit_runtime.bundle.manifest import ExitEntry
from edgeexit_runtime.gate import NEVER

from edgeexit.bench.results.explanation import MIXTURE
from edgeexit.bench.roofline.breakdown import Inference
from edgeexit.bench.roofline.call_times import CallTimes, InferenceTime, MixtureTimes


def inferences(
    exits: Sequence[ExitEntry], baseline: ExitEntry, calls: CallTimes
) -> Iterator[tuple[Inference, Inference]]:
    """Yield every exit path, then the mixture if there is one, each with the plain backbone."""
    steps = steps_of(exits)
    runs = path_runs(steps)
    plain = _plain(baseline, calls, calls.paths[baseline.name])
    for exit_ in exits:
        name, time = exit_.name, calls.paths[exit_.name]
        graphs, gate_ms = dict.fromkeys(runs[name], 1.0), calls.gates[name]
        path = Inference(name, exit_.path_macs, graphs, gate_ms, time.p10_ms, time.measured_ms)
        yield path, plain
    if calls.mixture is not None:
        ours = _mixed(steps, baseline, calls.gates, calls.mixture)
        yield ours, _plain(baseline, calls, calls.mixture.baseline)


def _plain(baseline: ExitEntry, calls: CallTimes, time: InferenceTime) -> Inference:
    name, gate_ms = baseline.name, calls.gates[baseline.name]
    graphs = {name: 1.0}
    return Inference(name, baseline.path_macs, graphs, gate_ms, time.p10_ms, time.measured_ms)


def _mixed(
    steps: Mapping[str, str | None],
    baseline: ExitEntry,
    gates_ms: Mapping[str, float],
    times: MixtureTimes,
) -> Inference:
    """Return the inference of an average image."""
    mixture = times.mixture
    paths = path_runs(steps, [it.name for it in mixture.exits if it.threshold == NEVER])
    runs: dict[str, float] = {}
    for exit_ in mixture.exits:
        for part in paths[exit_.name] if exit_.share else ():
            runs[part] = runs.get(part, 0.0) + exit_.share
    return Inference(
        MIXTURE,
        mixture.macs_ratio * baseline.path_macs,
        runs,
        sum(exit_.share * gates_ms[exit_.name] for exit_ in mixture.exits),
        times.early_exit.p10_ms,
        times.early_exit.measured_ms,
    )


def steps_of(exits: Sequence[ExitEntry]) -> dict[str, str | None]:
    """Return the stage before each exit, in order."""
    return {exit_.name: exit_.stage for exit_ in exits}


def path_runs(steps: Mapping[str, str | None], off: Container[str] = ()) -> dict[str, list[str]]:
    """Return the parts that run on the path to each exit.

    Args:
        steps: the stage before each exit, in order.
        off: exits that are switched off; their branches are not run.
    """
    paths: dict[str, list[str]] = {}
    before: list[str] = []
    for exit_, stage in steps.items():
        here = before + ([stage] if stage is not None else [])
        paths[exit_] = [*here, exit_]
        before = here + ([] if exit_ in off else [exit_])
    return paths
