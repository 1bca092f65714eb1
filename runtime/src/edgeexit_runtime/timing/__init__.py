"""Timers: of one call, of interleaved candidates, and of the exit paths of bundles."""
