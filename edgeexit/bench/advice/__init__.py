"""Thresholds that a benchmark chooses: as accurate as another model, and the least time."""
