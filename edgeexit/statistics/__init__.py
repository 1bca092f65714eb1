"""Uncertainty of figures that were measured on some images or in some rounds."""

from edgeexit.statistics.intervals import BREAK_EVEN, CONFIDENCE_LEVEL, Interval

__all__ = ["BREAK_EVEN", "CONFIDENCE_LEVEL", "Interval"]
