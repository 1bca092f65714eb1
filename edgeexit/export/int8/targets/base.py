"""What a quantization target says: for which engine 8 bits are, and which form that engine wants.

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
    """How 8 bits are written for one kind of engine.

    Attributes:
        entry: what the manifest says of it.
        says: what is in 8 bits, in a few words for people.
        fallbacks: what may be around them, ``fp32`` or ``fp16``.
        prepare: writes a graph so that more of it can be in 8 bits; results stay as they are.
        plan: which tensors of a prepared graph are rounded, and which biases.
        rounding: the form of a feature, from its bounds and the type that holds the scale.
        crosses: whether feature maps cross from graph to graph in 8 bits, too.
    """

    entry: TargetEntry
    says: str
    fallbacks: tuple[str, ...]
    prepare: Callable[[onnx.ModelProto], onnx.ModelProto]
    plan: Callable[[onnx.ModelProto], QuantizationPlan]
    rounding: Callable[[Bounds, np.dtype[Any]], Rounding]
    crosses: bool


TARGETS: Registry[QuantizationTarget] = Registry(
    "quantization target", package="edgeexit.export.int8.targets"
)
