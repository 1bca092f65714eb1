"""A quantization target: the kind of engine that a graph is quantized for, and the form it needs.

A new target is one file here with one registration::

    TARGETS.register("mine")(QuantizationTarget(entry=TargetEntry("mine", CPU, ...), ...))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.bundle.quantization_entry import TargetEntry

from edgeexit.export.int8.nodes import QuantizationPlan
from edgeexit.export.int8.rounding import Bounds, Rounding
from edgeexit.registry import Registry


@dataclass(frozen=True, slots=True)
class QuantizationTarget:
    """Quantization for one kind of engine.

    Attributes:
        entry: the manifest's entry.
        says: what is in 8 bits, in a few words for people.
        fallbacks: the allowed precisions of everything else, ``fp32`` or ``fp16``.
        prepare: rewrites a graph so that more of it can be in 8 bits; its results stay the same.
        plan: selects the tensors and biases of a prepared graph that are rounded.
        rounding: the rounding of a feature, from its bounds and the type of scales.
        crosses: whether feature maps are in 8 bits between graphs, too.
    """

    entry: TargetEntry
    says: str
    fallbacks: tuple[str, ...]
    prepare: Callable[[onnx.ModelProto], None]
    plan: Callable[[onnx.ModelProto], QuantizationPlan]
    rounding: Callable[[Bounds, np.dtype[Any]], Rounding]
    crosses: bool


TARGETS: Registry[QuantizationTarget] = Registry(
    "quantization target", package="edgeexit.export.int8.targets"
)


def target_for(engine: str) -> str:
    """Return the name of the usual target for a kind of engine, ``cpu`` or ``gpu``."""
    return next(target.entry.name for target in TARGETS.values() if target.entry.engine == engine)
