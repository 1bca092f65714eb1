"""Readings of a device's energy, clocks, temperatures and throttling.

Every reader takes the root of a sysfs tree or an NVML module, and omits what the device does not
report.
"""
