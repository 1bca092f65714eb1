"""Why Eq. 5 and the clock differ: a breakdown of every exit path that adds up.

All at batch 1. Times are those of quick calls, the 10th percentile (``p10``), but for T. Of a part
p, a stage or branch, or the plain backbone's one graph (p = 0)::

    M_p                    MACs, as Eq. 5 counts them
    t_p                    measured alone: one call of its graph
    C_p = M_p / peak       what its MACs take at the machine's peak
    R_p = sum over its operators o of max(m_o / peak, w_o / rate(W) + a_o / rate(a_o))

R_p is its roofline time (Williams, Waterman and Patterson, CACM 52, 2009), operator by operator as
they run one after another: m_o MACs, w_o bytes of weights and a_o of activations as
:mod:`edgeexit.bench.roofline.traffic` counts them, at the rates of the machine's peaks. W is the
weights of everything that runs between two uses of one: of early exit, or of the plain backbone.
Hence ``t_p = C_p + B_p + U_p`` with::

    B_p = R_p - C_p        bytes: what takes longer to move than to compute
    U_p = t_p - R_p        utilization: how far the part stays behind its roofline. Below 0 where
                           it is ahead, such as by caches that hold what the roofline fetches, or by
                           an algorithm with fewer MACs than those of the definition (Winograd)

An inference that measures T and runs parts p, each with probability n_p (1 or 0 on a forced path,
shares in a mixture), takes ``T = sum n_p t_p + G + S + L`` with::

    G                      gate and copies, measured: putting the images in, and the gate's part
                           on the host. What moves features between graphs, and the gate's outputs
                           to the host, is within t_p
    S                      session: the rest. Checks of the images, the loop, locks; and whatever a
                           graph takes more, or less (below 0), among these parts than when timed
    L                      slow calls: what T, the median of a path and the mean of a mixture, is
                           above quick calls; those of images that leave at each exit by its share

Eq. 5 says that T is to the plain backbone's T_0 as their MACs are: ``rho = M / M_0``. As T_0 is
made of the same terms, and ``sum n_p C_p - rho C_0 = 0`` where MACs add up, what is measured above
Eq. 5 is, exactly::

    T - rho T_0 = (sum n_p R_p - rho R_0)      bytes
                + (sum n_p U_p - rho U_0)      utilization
                + (G - rho G_0)                gate and copies
                + (S - rho S_0)                session
                + (L - rho L_0)                slow calls

and each term over T_0 is its part of the difference of the ratios, T / T_0 - rho. One part's share
in the first two is ``n_p (B_p - (M_p / M_0) B_0)``, and the same with U: what it takes more than as
many of the plain backbone's MACs do. Both are 0 where a branch is as heavy in bytes, and as well
utilized, as the backbone is.
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
    """What was measured of one way to answer an image.

    Attributes:
        name: of the exit where everyone was made to leave, or of the mixture, or plain backbone.
        macs: that Eq. 5 counts, per sample.
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
        macs: as Eq. 5 counts them.
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
    """Return why an inference's ratio to the plain backbone is not that of their MACs.

    Args:
        inference: of early exit.
        baseline: of the plain backbone, whose ``runs`` is its one graph.
        parts: all that either runs, by name.
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
    """Return the milliseconds of each term before Eq. 5's are taken off."""
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
