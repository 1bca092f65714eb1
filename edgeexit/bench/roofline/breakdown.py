"""Why measured times differ from Eq. 5: a breakdown of every exit path into terms that add up.

All figures are at batch 1. Times are 10th percentiles of calls (``p10``), except T. For a part p,
which is a stage, a branch, or the plain backbone's single graph (p = 0)::

    M_p                    MACs, as counted by Eq. 5
    t_p                    measured time of one call of its graph, alone
    C_p = M_p / peak       time of its MACs at the machine's peak
    R_p = sum over its operators o of max(m_o / peak, w_o / rate(W) + a_o / rate(a_o))

R_p is its roofline time (Williams, Waterman and Patterson, CACM 52, 2009), summed over operators,
which run one after another: m_o MACs, w_o bytes of weights and a_o bytes of activations, counted by
:mod:`edgeexit.bench.roofline.traffic`, at the machine's peak rates. W is the bytes of all weights
that are read between two uses of the same weight: those of early exit, or of the plain backbone.
Hence ``t_p = C_p + B_p + U_p`` with::

    B_p = R_p - C_p        bytes: extra time of operators that take longer to move than to compute
    U_p = t_p - R_p        utilization: how much slower than its roofline the part is. Negative if
                           it is faster, for example because caches hold data that the roofline
                           fetches, or because the algorithm has fewer MACs (Winograd)

An inference with measured time T runs each part p with probability n_p (1 or 0 on a forced path,
shares in a mixture). Then ``T = sum n_p t_p + G + S + L`` with::

    G                      gate and copies, measured: setting the images, and the gate's work on
                           the host. Moving features between graphs, and the gate's outputs to the
                           host, is included in t_p
    S                      session: the rest. Checks of the images, the loop, locks; and the
                           difference between a graph's time here and alone. May be negative
    L                      slow calls: T, the median of a path or mean of a mixture, minus the time
                           of ``p10`` calls; in a mixture, these are weighted by the exits' shares

Eq. 5 predicts that T / T_0, with T_0 of the plain backbone, equals the ratio of the MACs:
``rho = M / M_0``. T_0 has the same terms, and ``sum n_p C_p - rho C_0 = 0`` since MACs add up.
The time above Eq. 5's prediction is therefore, exactly::

    T - rho T_0 = (sum n_p R_p - rho R_0)      bytes
                + (sum n_p U_p - rho U_0)      utilization
                + (G - rho G_0)                gate and copies
                + (S - rho S_0)                session
                + (L - rho L_0)                slow calls

Each term over T_0 is its contribution to the difference of the ratios, T / T_0 - rho. One part's
share of the first two is ``n_p (B_p - (M_p / M_0) B_0)``, and the same with U: its time above that
of as many MACs of the plain backbone. Both are 0 for a branch with the backbone's bytes per MAC and
utilization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeexit_runtime.timing.calls import MS_PER_S

from edgeexit.bench.results.explanation import (
    BYTES,
    GATE,
    SESSION,
    SLOW,
    TERMS,
    UTILIZATION,
    Breakdown,
    PartExcess,
    Term,
)
from edgeexit.bench.results.roofline import OperatorTraffic, PartRoofline, Peaks


@dataclass(frozen=True, slots=True)
class Inference:
    """Measured times of one kind of inference.

    Attributes:
        name: of the exit of a forced path, or of the mixture, or of the plain backbone.
        macs: as counted by Eq. 5, per sample.
        runs: n_p, how often each part is run per sample.
        gate_ms: G.
        p10_ms: T - L.
        measured_ms: T.
    """

    name: str
    macs: float
    runs: Mapping[str, float]
    gate_ms: float
    p10_ms: float
    measured_ms: float


def part_roofline(
    name: str,
    operators: tuple[OperatorTraffic, ...],
    kind: str,
    macs: int,
    measured_ms: float,
    working_set: int,
    peaks: Peaks,
) -> PartRoofline:
    """Return a part's times.

    Args:
        name: of the part.
        operators: of its graph.
        kind: ``stage``, ``branch`` or ``baseline``.
        macs: as counted by Eq. 5.
        measured_ms: t_p.
        working_set: W, bytes.
        peaks: of the machine.
    """
    weights_per_s = peaks.bytes_per_s(working_set)

    def roofline_s(operator: OperatorTraffic) -> float:
        moved_s = operator.weight_bytes / weights_per_s
        moved_s += operator.activation_bytes / peaks.bytes_per_s(operator.activation_bytes)
        return max(operator.macs / peaks.macs_per_s, moved_s)

    return PartRoofline(
        name=name,
        kind=kind,
        macs=macs,
        measured_ms=measured_ms,
        compute_ms=macs / peaks.macs_per_s * MS_PER_S,
        roofline_ms=sum(map(roofline_s, operators)) * MS_PER_S,
        operators=operators,
    )


def break_down(
    inference: Inference, baseline: Inference, parts: Mapping[str, PartRoofline]
) -> Breakdown:
    """Return why an inference's ratio to the plain backbone differs from that of their MACs.

    Args:
        inference: of early exit.
        baseline: of the plain backbone, whose ``runs`` is its single graph.
        parts: all parts that either runs, by name.
    """
    rho = inference.macs / baseline.macs
    ours, theirs = _times(inference, parts), _times(baseline, parts)
    terms = tuple(
        Term(name, ms, ms / baseline.measured_ms)
        for name, ms in ((name, ours[name] - rho * theirs[name]) for name in TERMS)
    )
    (graph,) = (parts[name] for name in baseline.runs)
    return Breakdown(
        name=inference.name,
        macs_ratio=rho,
        measured_ratio=inference.measured_ms / baseline.measured_ms,
        measured_ms=inference.measured_ms,
        expected_ms=rho * baseline.measured_ms,
        terms=terms,
        parts=tuple(
            _excess(parts[name], runs, graph, baseline) for name, runs in inference.runs.items()
        ),
    )


def _times(inference: Inference, parts: Mapping[str, PartRoofline]) -> dict[str, float]:
    """Return the milliseconds of each term before Eq. 5's prediction is subtracted."""
    run = [(runs, parts[name]) for name, runs in inference.runs.items()]
    graphs_ms = sum(runs * part.measured_ms for runs, part in run)
    return {
        BYTES: sum(runs * part.roofline_ms for runs, part in run),  # C_p with B_p
        UTILIZATION: sum(runs * part.utilization_ms for runs, part in run),
        GATE: inference.gate_ms,
        SESSION: inference.p10_ms - graphs_ms - inference.gate_ms,
        SLOW: inference.measured_ms - inference.p10_ms,
    }


def _excess(
    part: PartRoofline, runs: float, graph: PartRoofline, baseline: Inference
) -> PartExcess:
    share = part.macs / baseline.macs
    over = runs / baseline.measured_ms
    return PartExcess(
        part.name,
        over * (part.bytes_ms - share * graph.bytes_ms),
        over * (part.utilization_ms - share * graph.utilization_ms),
    )
