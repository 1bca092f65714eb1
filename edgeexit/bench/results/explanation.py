"""Why measured ratios are not Eq. 5's: see :mod:`edgeexit.bench.roofline.breakdown`."""

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
class Reason:
    """One thing by which a measured ratio is not Eq. 5's.

    Attributes:
        term: one of :data:`TERMS`.
        part: whose share in it this is; None of a whole term.
        ratio: that is added to Eq. 5's.
        is_noise: whether the term may as well be 0.
    """

    term: str
    part: str | None
    ratio: float
    is_noise: bool


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

    @property
    def reasons(self) -> list[Reason]:
        """The parts' shares in bytes and utilization, and the other terms; the largest first."""
        noise = {term.name: term.is_noise for term in self.terms}
        found = []
        for part in self.parts:
            found.append(Reason(BYTES, part.name, part.bytes_ratio, noise[BYTES]))
            ratio = part.utilization_ratio
            found.append(Reason(UTILIZATION, part.name, ratio, noise[UTILIZATION]))
        for name in (GATE, SESSION, SLOW):
            found.append(Reason(name, None, self.term(name).ratio, noise[name]))
        return sorted(found, key=lambda reason: -abs(reason.ratio))

    def rest(self, told: Iterable[Reason]) -> float:
        """Return what all other reasons come to."""
        return self.measured_ratio - self.macs_ratio - sum(reason.ratio for reason in told)


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
