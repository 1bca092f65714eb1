"""What parts of a network move and compute, and what the machine does at best."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.results.mixture import BASELINE_NAME

AHEAD = 0.02  # a part that is so far below its roofline is worth a word


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
    def label(self) -> str:
        """What it is called in tables and pictures."""
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
        """Its arithmetic intensity, where something is moved."""
        return self.macs / self.moved_bytes

    @property
    def gmacs_per_s(self) -> float:
        """What it achieves, in 1e9 MACs per second."""
        return self.macs / self.measured_ms / 1e6

    @property
    def over_roofline(self) -> float:
        """Measured over roofline: below 1 where it is ahead."""
        return self.measured_ms / self.roofline_ms

    @property
    def is_ahead(self) -> bool:
        """Whether it is faster than its roofline by more than a little."""
        return self.measured_ms < (1 - AHEAD) * self.roofline_ms

    @property
    def macs_per_operator(self) -> float:
        """Its MACs over the number of its operators; 0 where all nodes are views."""
        return self.macs / len(self.operators) if self.operators else 0.0

    def utilization_of(self, macs: int) -> float:
        """Return the milliseconds of U_p that come to so many of its MACs."""
        return macs / self.macs * self.utilization_ms

    @property
    def heaviest(self) -> OperatorTraffic | None:
        """The operator that moves the most bytes; None where all nodes are views."""
        return max(self.operators, key=lambda operator: operator.bytes, default=None)
