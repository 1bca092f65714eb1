"""In which number format a bundle computes, and how closely it must agree with the network.

Precision lives in the graph itself: an FP16 file has FP16 weights and features, so every engine
that runs it computes in FP16 or says that it cannot. Images come in as FP32, and softmax and gate
stay FP32 in every precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["PRECISIONS", "Precision"]


@dataclass(frozen=True, slots=True)
class Precision:
    """A number format and the floors below which an export in it fails.

    Attributes:
        name: as the command line and the manifest write it.
        dtype: of weights and features.
        min_agreement: the least share of samples, 0 to 1, for which each exit must give the
            label, and make the decision, of the FP32 network.
        max_logit_error: the largest difference of a logit, relative to the exit's largest logit.
    """

    name: str
    dtype: torch.dtype
    min_agreement: float
    max_logit_error: float


PRECISIONS = {
    precision.name: precision
    for precision in (
        # float32 rounds at 6e-8; sums of a thousand products in another order stay far below 1e-4
        Precision("fp32", torch.float32, min_agreement=0.99, max_logit_error=1e-4),
        # float16 rounds at 5e-4, and errors of the layers before add up
        Precision("fp16", torch.float16, min_agreement=0.97, max_logit_error=5e-2),
    )
}
