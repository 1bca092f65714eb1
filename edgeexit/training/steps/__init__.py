"""Strategies and their phases, image order, and the optimizer steps of an epoch."""
