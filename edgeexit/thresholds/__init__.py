"""Thresholds: the front of accuracy against average cost, and its best setting within limits."""

from edgeexit.thresholds.front import Front, Setting
from edgeexit.thresholds.grids import confidence_grids
from edgeexit.thresholds.search import search_thresholds
from edgeexit.thresholds.selection import Limits, best_setting

__all__ = [
    "Front",
    "Limits",
    "Setting",
    "best_setting",
    "confidence_grids",
    "search_thresholds",
]
