"""Forms of 8 bits, one file for each kind of engine that computes them."""

from edgeexit.export.int8.targets.base import TARGETS, QuantizationTarget

__all__ = ["TARGETS", "QuantizationTarget"]
