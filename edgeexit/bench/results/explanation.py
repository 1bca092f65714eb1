"""Why measured ratios differ from Eq. 5's: see :mod:`edgeexit.bench.roofline.breakdown`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeexit.bench.results.mixture import EARLY_EXIT_NAME
from edgeexit.bench.results.roofline import PartRoofline, Peaks
from edgeexit.statistics import Interval

BYTES, UTILIZATION, GATE, SESSION, SLOW = "bytes", "utilization", "gate", "session", "slow calls"
TERMS = (BYTES, UTILIZATION, GATE, SESSION, SLOW)
MIXTURE = "mixture"


@dataclass(frozen=True, slots=True)
class Term:
    """One of :data:`TERMS`.

    Attributes:
        name: of the term.
        ms: milliseconds above Eq. 5's prediction; negative if below it.
        ratio: this over T_0.
        interval: of the ratio, over resampled rounds; None with a single round.
    """

    name: str
    ms: float
    ratio: float
    interval: Interval | None = None

    @property
    def is_noise(self) -> bool:
        """Whether the interval includes 0 and is not the single point 0."""
        found = self.interval
        return found is not None and found.low <= 0 <= found.high and found.low < found.high


@dataclass(frozen=True, slots=True)
class PartExcess:
    """One part's share of the terms bytes and utilization, as ratios."""

    name: str
    bytes_ratio: float
    utilization_ratio: float


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a measured ratio differs from Eq. 5's.

    Attributes:
        term: one of :data:`TERMS`.
        part: whose share of the term this is; None for a whole term.
        ratio: its addition to Eq. 5's ratio.
        is_noise: whether the term is within the noise: :attr:`Term.is_noise`.
    """

    term: str
    part: str | None
    ratio: float
    is_noise: bool


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Eq. 5's ratio, the measured ratio, and the terms that sum to their difference.

    Attributes:
        name: of the exit, or :data:`MIXTURE`.
        macs_ratio: rho, Eq. 5's ratio.
        measured_ratio: T / T_0: rho plus the ratios of the terms.
        measured_ms: T.
        expected_ms: rho T_0.
        terms: in the order of :data:`TERMS`.
        parts: the parts that run, in order.
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
        """The name in tables and pictures."""
        return EARLY_EXIT_NAME if self.name == MIXTURE else self.name

    def term(self, name: str) -> Term:
        """Return a term by its name."""
        return next(term for term in self.terms if term.name == name)

    @property
    def reasons(self) -> list[Reason]:
        """The parts' shares of bytes and utilization, and the other terms; the largest first."""
        noise = {term.name: term.is_noise for term in self.terms}
        found = []
        for part in self.parts:
            found.append(Reason(BYTES, part.name, part.bytes_ratio, noise[BYTES]))
            ratio = part.utilization_ratio
            found.append(Reason(UTILIZATION, part.name, ratio, noise[UTILIZATION]))
        for name in (GATE, SESSION, SLOW):
            found.append(Reason(name, None, self.term(name).ratio, noise[name]))
        return sorted(found, key=lambda reason: -abs(reason.ratio))

    def rest(self, listed: Iterable[Reason]) -> float:
        """Return the sum of all reasons except those listed."""
        return self.measured_ratio - self.macs_ratio - sum(reason.ratio for reason in listed)


@dataclass(frozen=True, slots=True)
class Prediction:
    """The measured ratio to the baseline, and the predictions of the linear model and of Eq. 5."""

    name: str
    measured_ratio: float
    model_ratio: float
    macs_ratio: float


@dataclass(frozen=True, slots=True)
class LinearModel:
    """A linear model of time in place of Eq. 5; errors are mean absolute relative errors.

    Attributes:
        ms_per_mac, ms_per_byte, ms_per_call: the coefficients.
        parts: number of parts that it was fitted on.
        is_overfitted: whether there are too few parts for the fit to mean much.
        fit_error: on the parts that it was fitted on.
        leave_one_out_error: of each part, predicted from the others; None with too few others.
        worst_left_out: the part with the largest such error; None if none was left out.
        baseline_error: predicted over measured time of the baseline, minus 1, signed.
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
    """Why the measured ratios differ from Eq. 5's.

    Attributes:
        peaks: of the machine; None if they could not be measured.
        not_measured: the reason, in that case.
        parts: stages and branches in the order of execution, then the plain backbone; empty
            without peaks.
        breakdowns: of every exit path, then of the mixture if it was measured; empty without
            peaks.
        model: None if it could not be fitted.
    """

    peaks: Peaks | None
    not_measured: str | None
    parts: tuple[PartRoofline, ...]
    breakdowns: tuple[Breakdown, ...]
    model: LinearModel | None
