"""Why measured ratios are not Eq. 5's: see :mod:`edgeexit.bench.roofline.breakdown`."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.results.mixture import EARLY_EXIT_NAME
from edgeexit.statistics import Interval

BYTES, UTILIZATION, GATE, SESSION, SLOW = "bytes", "utilization", "gate", "session", "slow calls"
TERMS = (BYTES, UTILIZATION, GATE, SESSION, SLOW)
MIXTURE = "mixture"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes per second, read and written together, over a working set of so many bytes."""

    working_set_bytes: int
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Peaks:
    """The machine's peak, of quick calls.

    Attributes:
        provider: ONNX Runtime's, which ran it.
        precision: of the product of matrices.
        macs_per_s: multiply-accumulates per second.
        matrix_size: rows and columns of the product that was fastest.
        bandwidths: by working set, the smallest first; the last one is memory itself.
    """

    provider: str
    precision: str
    macs_per_s: float
    matrix_size: int
    bandwidths: tuple[Bandwidth, ...]

    def __post_init__(self) -> None:
        rates = [self.macs_per_s, *(bandwidth.bytes_per_s for bandwidth in self.bandwidths)]
        sizes = [bandwidth.working_set_bytes for bandwidth in self.bandwidths]
        if not self.bandwidths or min(rates) <= 0 or sizes != sorted(sizes):
            raise ValueError(f"expected rates above 0 by ascending working sets, got {self}")

    def bytes_per_s(self, working_set_bytes: int) -> float:
        """Return the rate of the smallest working set measured that holds this one."""
        for bandwidth in self.bandwidths:
            if working_set_bytes <= bandwidth.working_set_bytes:
                return bandwidth.bytes_per_s
        return self.bandwidths[-1].bytes_per_s


@dataclass(frozen=True, slots=True)
class OperatorTraffic:
    """What one operator does in one call at batch 1.

    Attributes:
        name: of its output.
        kind: ONNX's name of the node that others were fused into; convolutions have their kernel
            size behind it: ``Conv 3x3``.
        macs: multiply-accumulates.
        weight_bytes: read, whatever the batch.
        activation_bytes: read and written, per sample.
    """

    name: str
    kind: str
    macs: int
    weight_bytes: int
    activation_bytes: int

    @property
    def bytes(self) -> int:
        """All that it moves."""
        return self.weight_bytes + self.activation_bytes


@dataclass(frozen=True, slots=True)
class PartRoofline:
    """A part's three times in milliseconds, and what they come from; see the breakdown.

    Attributes:
        name: of the stage or exit, or of the plain backbone.
        kind: ``stage``, ``branch`` or ``baseline``.
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

    @property
    def label(self) -> str:
        """What it is called in tables and pictures."""
        return EARLY_EXIT_NAME if self.name == MIXTURE else self.name

    def term(self, name: str) -> Term:
        """Return a term by its name."""
        return next(term for term in self.terms if term.name == name)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The ratio to the baseline that was measured, and what the two models say of it."""

    name: str
    measured_ratio: float
    model_ratio: float
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class LinearModel:
    """What Eq. 5 would have to be here; errors are means of absolute relative ones.

    Attributes:
        ms_per_mac, ms_per_byte, ms_per_call: the coefficients.
        parts: number of parts that it was fitted on.
        is_overfitted: whether these are so few that the fit says little.
        fit_error: on these.
        leave_one_out_error: of each part by the others; None where the others are too few.
        worst_left_out: the part that the others say least of; None where none was left out.
        baseline_error: predicted over measured time of the baseline, less 1, signed.
        model_error, eq5_error: of the paths' ratios, by the model and by Eq. 5.
        predictions: of the exit paths.
    """

    ms_per_mac: float
    ms_per_byte: float
    ms_per_call: float
    parts: int
    is_overfitted: bool
    fit_error: float
    leave_one_out_error: float | None
    worst_left_out: str | None
    baseline_error: float
    model_error: float
    eq5_error: float
    predictions: tuple[Prediction, ...]


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
