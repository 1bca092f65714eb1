"""Quantization targets, one file for each kind of engine."""

from edgeexit.export.int8.targets.base import TARGETS, QuantizationTarget, target_for

__all__ = ["TARGETS", "QuantizationTarget", "target_for"]
