"""Weights that were learned elsewhere: read from files, fitted by name, filled in."""
