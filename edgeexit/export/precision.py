"""In which number format a bundle computes, and how closely it must agree with the network.

Precision lives in the graph itself: an FP16 file has FP16 weights and features, so every engine
that runs it computes in FP16 or says that it cannot. Images come in as FP32, and softmax and gate
stay FP32 in every precision. INT8 is said by Q/DQ nodes; what they leave out is FP32 or FP16.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeexit_runtime.bundle.quantization_entry import ALL, CALIBRATION_METHODS, EXTENTS, FALLBACKS

from edgeexit.errors import ExportError
from edgeexit.export.int8.targets import TARGETS

AUTO = "auto"
LEAST_OPSET = 18  # below, the exporter converts with losses


@dataclass(frozen=True, slots=True)
class Quantization:
    """What of a network is in 8 bits, and how.

    Attributes:
        extent: ``all`` that ``target`` computes in 8 bits; or the ``classifier`` alone where it is
            large, for CPUs.
        method: how value ranges are chosen, ``minmax``, ``entropy`` or ``percentile``, or ``auto``
            for the best of them;
            ``classifier`` needs none, since it rounds to the range of each image.
        fallback: what is not quantized is ``fp32`` or ``fp16``.
        target: of ``all``, the form that a kind of engine wants, of
            :data:`edgeexit.export.int8.targets.TARGETS`.
    """

    extent: str = "all"
    method: str = AUTO
    fallback: str = "fp32"
    target: str = "tensorrt"

    def __post_init__(self) -> None:
        fallbacks = TARGETS[self.target].fallbacks
        if self.extent == ALL and self.fallback in FALLBACKS and self.fallback not in fallbacks:
            raise ExportError(
                f"fallback: target {self.target} is with {', '.join(fallbacks)} around it, got "
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
    """A number format and the floors below which an export in it fails.

    Attributes:
        name: as the command line and the manifest write it.
        dtype: ``float32`` or ``float16``, of weights and features; of INT8 of what is in
            floating point.
        min_agreement: the least share of samples, 0 to 1, for which each exit must give the
            label, and make the decision, of the FP32 network.
        max_logit_error: the largest difference of a logit, relative to the exit's largest logit.
        quantization: of INT8; None for the others.
    """

    name: str
    dtype: str
    min_agreement: float
    max_logit_error: float
    quantization: Quantization | None = None

    @property
    def least_opset(self) -> int:
        """The lowest ONNX opset that can say it; before 19, QuantizeLinear takes no FP16."""
        is_mixed = self.quantization is not None and self.quantization.fallback == "fp16"
        return 19 if is_mixed else LEAST_OPSET

    def quantized(self, quantization: Quantization) -> Precision:
        """Return this precision with another quantization."""
        dtype = PRECISIONS[quantization.fallback].dtype
        return replace(self, dtype=dtype, quantization=quantization)


PRECISIONS = {
    precision.name: precision
    for precision in (
        # float32 rounds at 6e-8; sums of a thousand products in another order stay far below 1e-4
        Precision("fp32", "float32", min_agreement=0.99, max_logit_error=1e-4),
        # float16 rounds at 5e-4, and errors of the layers before add up
        Precision("fp16", "float16", min_agreement=0.97, max_logit_error=5e-2),
        # a value is rounded by up to 1/254 of its tensor's largest in every layer, and the rare
        # logits far above all others may be cut off: only what is none of this is refused
        Precision(
            "int8",
            "float32",
            min_agreement=0.95,
            max_logit_error=1.0,
            quantization=Quantization(),
        ),
    )
}
