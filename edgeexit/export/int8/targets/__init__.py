"""Quantization targets, one file for each kind of engine."""

from edgeexit.export.int8.targets.base import TARGETS, QuantizationTarget

__all__ = ["TARGETS", "QuantizationTarget"]
