"""Trace any model and cut it at named modules."""
