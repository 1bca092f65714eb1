"""Thresholds chosen by a benchmark: at another model's accuracy, and for the least time."""
