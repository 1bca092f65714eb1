"""Timing of candidates in interleaved rounds, on real images and on forced paths."""
