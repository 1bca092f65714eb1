"""The number format that a bundle computes in, and how closely it must agree with the network.

The precision is part of the graph: an FP16 file has FP16 weights and features, so every engine
that runs it computes in FP16 or reports that it cannot. Images come in as FP32, and softmax and
gate stay FP32 in every precision. Q/DQ nodes mark INT8; everything else is FP32 or FP16.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from edgeexit_runtime.bundle.quantization_entry import (
    ALL,
    CALIBRATION_METHODS,
    EXTENTS,
    FALLBACKS,
    GPU,
)

from edgeexit.errors import ExportError
from edgeexit.export.int8.targets import TARGETS, target_for

AUTO = "auto"
LEAST_OPSET = 18  # for lower opsets the exporter's conversion is lossy


@dataclass(frozen=True, slots=True)
class Quantization:
    """Which part of a network is quantized to 8 bits, and how.

    Attributes:
        extent: ``all``: everything that ``target`` computes in 8 bits; ``classifier``: only the
            classifiers, where they are large, for CPUs.
        method: how value ranges are chosen: ``minmax``, ``entropy`` or ``percentile``, or ``auto``
            for the best of these. ``classifier`` needs no method, since it takes the range of
            each image.
        fallback: precision of everything that is not quantized, ``fp32`` or ``fp16``.
        target: for ``all``, the kind of engine that the graph is quantized for, one of
            :data:`edgeexit.export.int8.targets.TARGETS`; by default the one for GPUs.
    """

    extent: str = "all"
    method: str = AUTO
    fallback: str = "fp32"
    target: str = field(default_factory=partial(target_for, GPU))

    def __post_init__(self) -> None:
        fallbacks = TARGETS[self.target].fallbacks
        if self.extent == ALL and self.fallback in FALLBACKS and self.fallback not in fallbacks:
            raise ExportError(
                f"fallback: target {self.target} takes {', '.join(fallbacks)}, got "
                f"{self.fallback!r}; choose that, or another target"
            )
        for what, got, known in (
            ("extent", self.extent, EXTENTS),
            ("method", self.method, (*CALIBRATION_METHODS, AUTO)),
            ("fallback", self.fallback, FALLBACKS),
        ):
            if got not in known:
                raise ExportError(f"{what}: expected one of {', '.join(known)}, got {got!r}")


@dataclass(frozen=True, slots=True)
class Precision:
    """A number format and the tolerances that an export in it must meet.

    Attributes:
        name: as on the command line and in the manifest.
        dtype: ``float32`` or ``float16``, of weights and features; in INT8, of whatever is not
            quantized.
        min_agreement: the minimum share of samples, 0 to 1, for which each exit must give the same
            label, and make the same decision, as in the FP32 network.
        max_logit_error: the largest difference of a logit, relative to the exit's largest logit.
        quantization: options of INT8; None for the other precisions.
    """

    name: str
    dtype: str
    min_agreement: float
    max_logit_error: float
    quantization: Quantization | None = None

    @property
    def least_opset(self) -> int:
        """The lowest ONNX opset that can express it; QuantizeLinear takes FP16 from 19 on."""
        is_mixed = self.quantization is not None and self.quantization.fallback == "fp16"
        return 19 if is_mixed else LEAST_OPSET

    def quantized(self, quantization: Quantization) -> Precision:
        """Return this precision with another quantization."""
        dtype = PRECISIONS[quantization.fallback].dtype
        return replace(self, dtype=dtype, quantization=quantization)


PRECISIONS = {
    precision.name: precision
    for precision in (
        # float32 rounds at 6e-8; reordering a sum of a thousand products stays far below 1e-4
        Precision("fp32", "float32", min_agreement=0.99, max_logit_error=1e-4),
        # float16 rounds at 5e-4, and the errors of successive layers add up
        Precision("fp16", "float16", min_agreement=0.97, max_logit_error=5e-2),
        # every layer rounds by up to 1/254 of the tensor's largest value, and rare logits far above
        # all others may be clipped: only errors beyond these are refused
        Precision(
            "int8",
            "float32",
            min_agreement=0.95,
            max_logit_error=1.0,
            quantization=Quantization(),
        ),
    )
}
