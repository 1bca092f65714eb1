"""Traffic and MACs of a network's parts, and the peak rates of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.results.mixture import BASELINE_NAME

AHEAD = 0.02  # parts faster than their roofline by more than this fraction are reported


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes per second, read and written together, for a working set of a given size."""

    working_set_bytes: int
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Peaks:
    """The machine's peak rates, from 10th percentiles of calls.

    Attributes:
        provider: device of the backend that ran it.
        precision: of the matrix product.
        macs_per_s: multiply-accumulates per second.
        matrix_size: rows and columns of the fastest product.
        bandwidths: by working set, the smallest first; the last one is main memory.
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
        """Return the rate of the smallest measured working set that is at least this large."""
        for bandwidth in self.bandwidths:
            if working_set_bytes <= bandwidth.working_set_bytes:
                return bandwidth.bytes_per_s
        return self.bandwidths[-1].bytes_per_s


@dataclass(frozen=True, slots=True)
class OperatorTraffic:
    """MACs and traffic of one operator in one call at batch 1.

    Attributes:
        name: of its output.
        kind: ONNX operator type of the node that others were fused into; convolutions append
            their kernel size: ``Conv 3x3``.
        macs: multiply-accumulates.
        weight_bytes: read, independent of the batch size.
        activation_bytes: read and written, per sample.
    """

    name: str
    kind: str
    macs: int
    weight_bytes: int
    activation_bytes: int

    @property
    def bytes(self) -> int:
        """Weights and activations together."""
        return self.weight_bytes + self.activation_bytes


@dataclass(frozen=True, slots=True)
class PartRoofline:
    """A part's three times in milliseconds, and its operators; see the breakdown.

    Attributes:
        name: of the stage or exit, or of the plain backbone.
        kind: ``stage``, ``branch`` or ``baseline``.
        macs: as counted by Eq. 5.
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
    def label(self) -> str:
        """The name in tables and pictures."""
        return BASELINE_NAME if self.kind == "baseline" else self.name

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
    def moved_bytes(self) -> int:
        """Weights and activations, per sample."""
        return self.weight_bytes + self.activation_bytes

    @property
    def macs_per_byte(self) -> float:
        """Arithmetic intensity; defined only if the part moves any bytes."""
        return self.macs / self.moved_bytes

    @property
    def gmacs_per_s(self) -> float:
        """Achieved rate, in 1e9 MACs per second."""
        return self.macs / self.measured_ms / 1e6

    @property
    def over_roofline(self) -> float:
        """Measured time over roofline time; below 1 if the part is faster than its roofline."""
        return self.measured_ms / self.roofline_ms

    @property
    def is_ahead(self) -> bool:
        """Whether it is faster than its roofline by more than :data:`AHEAD`."""
        return self.measured_ms < (1 - AHEAD) * self.roofline_ms

    @property
    def macs_per_operator(self) -> float:
        """MACs divided by the number of operators; 0 if all nodes are views."""
        return self.macs / len(self.operators) if self.operators else 0.0

    def utilization_of(self, macs: int) -> float:
        """Return the share of U_p, in milliseconds, of this many of its MACs."""
        return macs / self.macs * self.utilization_ms

    @property
    def heaviest(self) -> OperatorTraffic | None:
        """The operator that moves the most bytes; None if all nodes are views."""
        return max(self.operators, key=lambda operator: operator.bytes, default=None)
