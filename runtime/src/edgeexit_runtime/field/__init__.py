"""Monitoring of a deployed session: statistics, and drift from what was expected."""
