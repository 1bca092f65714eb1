"""Numbers as text, the same on every page and in every terminal."""

from __future__ import annotations


def format_macs(macs: float) -> str:
    """Return a count of MACs as the paper rounds it, ``46.97M``, ``1.814G``; small ones exactly."""
    if macs >= 1e9:
        return f"{macs / 1e9:.3f}G"
    return f"{macs / 1e6:.2f}M" if macs >= 1e5 else f"{macs:.0f}"


def format_cost(cost: float, unit: str) -> str:
    """Return a cost with its unit; MACs as the paper rounds them."""
    return f"{format_macs(cost)} MACs" if unit == "MACs" else f"{cost:.4g} {unit}"


def format_threshold(threshold: float | None) -> str:
    """Return a threshold, ``never`` where nobody leaves, nothing for ``final``."""
    if threshold is None:
        return ""
    # no softmax value is above 1
    return "never" if threshold > 1 else f"{threshold:.7g}"


def format_fraction(fraction: float | None) -> str:
    """Return a fraction such as an accuracy, ``-`` where it is not known."""
    return "-" if fraction is None else f"{fraction:.4f}"


def format_ms(milliseconds: float | None) -> str:
    """Return milliseconds to the microsecond, ``-`` where they are not known."""
    return "-" if milliseconds is None else f"{milliseconds:.3f}"
