"""Timers: of one call, of candidates that take turns, and of the exit paths of bundles."""
