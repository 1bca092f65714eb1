"""Why Eq. 5 and the clock differ: a breakdown of every exit path that adds up.

All at batch 1. Times are those of quick calls, the 10th percentile (``p10``), but for T. Of a part
p, a stage or branch, or the plain backbone's one graph (p = 0)::

    M_p                    MACs, as Eq. 5 counts them
    t_p                    measured alone: one call of its graph
    C_p = M_p / peak       what its MACs take at the machine's peak
    R_p = sum over its operators o of max(m_o / peak, w_o / rate(W) + a_o / rate(a_o))

R_p is its roofline time (Williams, Waterman and Patterson, CACM 52, 2009), operator by operator as
they run one after another: m_o MACs, w_o bytes of weights and a_o of activations as
:mod:`edgeexit.bench.traffic` counts them, at the rates of :mod:`edgeexit.bench.peaks`. W is the
weights of everything that runs between two uses of one: of the chain, or of the plain backbone.
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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeexit.bench.linear_model import LinearModel
from edgeexit.bench.peaks import Peaks
from edgeexit.bench.traffic import GraphTraffic, OperatorTraffic
from edgeexit.statistics import Interval

__all__ = [
    "BYTES",
    "GATE",
    "MIXTURE",
    "SESSION",
    "SLOW",
    "TERMS",
    "UTILIZATION",
    "Breakdown",
    "Explanation",
    "Inference",
    "PartExcess",
    "PartRoofline",
    "Term",
    "break_down",
    "part_roofline",
    "path_runs",
]

BYTES, UTILIZATION, GATE, SESSION, SLOW = "bytes", "utilization", "gate", "session", "slow calls"
TERMS = (BYTES, UTILIZATION, GATE, SESSION, SLOW)
MIXTURE = "mixture"
MS_PER_S = 1e3


@dataclass(frozen=True, slots=True)
class PartRoofline:
    """A part's three times in milliseconds, and what they come from; see the module.

    Attributes:
        name: of the stage or exit, or of the plain backbone.
        kind: ``stage``, ``branch`` or ``plain``.
        macs: as Eq. 5 counts them.
        measured_ms: t_p.
        compute_ms: C_p.
        roofline_ms: R_p.
        operators: in the order of execution.
    """

    name: str
    kind: str
    macs: int
    measured_ms: float
    compute_ms: float
    roofline_ms: float
    operators: tuple[OperatorTraffic, ...]

    @property
    def bytes_ms(self) -> float:
        """B_p."""
        return self.roofline_ms - self.compute_ms

    @property
    def utilization_ms(self) -> float:
        """U_p."""
        return self.measured_ms - self.roofline_ms

    @property
    def weight_bytes(self) -> int:
        """Of all its operators."""
        return sum(operator.weight_bytes for operator in self.operators)

    @property
    def activation_bytes(self) -> int:
        """Of all its operators, per sample."""
        return sum(operator.activation_bytes for operator in self.operators)

    @property
    def heaviest(self) -> OperatorTraffic | None:
        """The operator that moves the most bytes; None where all nodes are views."""
        return max(self.operators, key=lambda operator: operator.bytes, default=None)


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


@dataclass(frozen=True, slots=True)
class Term:
    """One of :data:`TERMS`.

    Attributes:
        name: of the term.
        ms: milliseconds above Eq. 5's; below 0 where it is less.
        ratio: this over T_0.
        interval: of the ratio in other rounds; None of a single one.
    """

    name: str
    ms: float
    ratio: float
    interval: Interval | None = None

    @property
    def is_noise(self) -> bool:
        """Whether it may as well be 0, and is not known to be."""
        found = self.interval
        return found is not None and found.low <= 0 <= found.high and found.low < found.high


@dataclass(frozen=True, slots=True)
class PartExcess:
    """One part's share in the terms bytes and utilization, as ratios."""

    name: str
    bytes_ratio: float
    utilization_ratio: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Eq. 5's ratio, the measured one, and the terms between: they add up.

    Attributes:
        name: of the exit, or :data:`MIXTURE`.
        macs_ratio: rho, what Eq. 5 says.
        measured_ratio: T / T_0, which is rho and the terms' ratios.
        measured_ms: T.
        expected_ms: rho T_0.
        terms: in the order of :data:`TERMS`.
        parts: those that are run, in order.
    """

    name: str
    macs_ratio: float
    measured_ratio: float
    measured_ms: float
    expected_ms: float
    terms: tuple[Term, ...]
    parts: tuple[PartExcess, ...]

    def term(self, name: str) -> Term:
        """Return a term by its name."""
        return next(term for term in self.terms if term.name == name)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why the measured ratios are not Eq. 5's.

    Attributes:
        peaks: of the machine; None where they could not be measured.
        not_measured: why, then.
        parts: stages and branches in the order of execution, then the plain backbone; none
            without peaks.
        breakdowns: of every exit path, then of the mixture where one was measured; none without
            peaks.
        model: None where it could not be fitted.
    """

    peaks: Peaks | None
    not_measured: str | None
    parts: tuple[PartRoofline, ...]
    breakdowns: tuple[Breakdown, ...]
    model: LinearModel | None


def part_roofline(
    traffic: GraphTraffic, kind: str, macs: int, measured_ms: float, working_set: int, peaks: Peaks
) -> PartRoofline:
    """Return a part's times.

    Args:
        traffic: of its graph.
        kind: ``stage``, ``branch`` or ``plain``.
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
        name=traffic.name,
        kind=kind,
        macs=macs,
        measured_ms=measured_ms,
        compute_ms=macs / peaks.macs_per_s * MS_PER_S,
        roofline_ms=sum(map(roofline_s, traffic.operators)) * MS_PER_S,
        operators=traffic.operators,
    )


def break_down(
    inference: Inference, plain: Inference, parts: Mapping[str, PartRoofline]
) -> Breakdown:
    """Return why an inference's ratio to the plain backbone is not that of their MACs.

    Args:
        inference: of the chain.
        plain: of the plain backbone, whose ``runs`` is its one graph.
        parts: all that either runs, by name.
    """
    rho = inference.macs / plain.macs
    ours, theirs = _times(inference, parts), _times(plain, parts)
    terms = tuple(
        Term(name, ms, ms / plain.measured_ms)
        for name, ms in ((name, ours[name] - rho * theirs[name]) for name in TERMS)
    )
    (graph,) = (parts[name] for name in plain.runs)
    return Breakdown(
        name=inference.name,
        macs_ratio=rho,
        measured_ratio=inference.measured_ms / plain.measured_ms,
        measured_ms=inference.measured_ms,
        expected_ms=rho * plain.measured_ms,
        terms=terms,
        parts=tuple(
            _excess(parts[name], runs, graph, plain) for name, runs in inference.runs.items()
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


def _excess(part: PartRoofline, runs: float, graph: PartRoofline, plain: Inference) -> PartExcess:
    share = part.macs / plain.macs
    over = runs / plain.measured_ms
    return PartExcess(
        part.name,
        over * (part.bytes_ms - share * graph.bytes_ms),
        over * (part.utilization_ms - share * graph.utilization_ms),
    )


def path_runs(steps: Sequence[tuple[str, str | None]], off: frozenset[str]) -> list[list[str]]:
    """Return the parts that run where everyone leaves at each exit.

    Args:
        steps: exit and the stage before it, in order.
        off: exits that are switched off, whose branches are not run.
    """
    paths: list[list[str]] = []
    before: list[str] = []
    for exit_, stage in steps:
        here = before + ([stage] if stage is not None else [])
        paths.append([*here, exit_])
        before = here + ([] if exit_ in off else [exit_])
    return paths
