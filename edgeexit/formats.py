"""Numbers as text, and tables of it, the same on every page and in every terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR, Guarantee

_RISKS = {
    DROP: "a drop in accuracy against the last exit",
    ERROR: "an error rate",
    DISAGREEMENT: "a disagreement with the last exit",
}


def format_macs(macs: float) -> str:
    """Return a count of MACs as the paper rounds it, ``46.97M``, ``1.814G``; small ones exactly."""
    if macs >= 1e9:
        return f"{macs / 1e9:.3f}G"
    return f"{macs / 1e6:.2f}M" if macs >= 1e5 else f"{macs:.0f}"


def format_cost(cost: float, unit: str) -> str:
    """Return a cost with its unit; MACs as the paper rounds them."""
    return f"{format_bare_cost(cost, unit)} {unit}"


def format_bare_cost(cost: float | None, unit: str) -> str:
    """Return it without its unit; ``-`` where it is not known."""
    if cost is None:
        return "-"
    return format_macs(cost) if unit == "MACs" else f"{cost:.4g}"


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


def format_command(*words: object) -> str:
    """Return a command of edgeexit as a line that a shell takes, whatever is in its paths."""
    return shlex.join(["edgeexit", *map(str, words)])


def format_promise(risk: str, target: float, confidence: float) -> str:
    """Return what is promised of thresholds, in a phrase."""
    return f"{_RISKS[risk]} of at most {target:g} with confidence {confidence:g}"


def format_guarantee(guarantee: Guarantee, thresholds: Mapping[str, float]) -> str:
    """Return a guarantee in a sentence; where thresholds were changed since, that it is dropped."""
    if not guarantee.holds_for(thresholds):
        return format_dropped(guarantee)
    promise = format_promise(guarantee.risk, guarantee.target, guarantee.confidence)
    return (
        f"Guaranteed: {promise}, shown on {guarantee.images:,} images of {guarantee.data} "
        f"({guarantee.observed:.4f} there)."
    )


def format_dropped(guarantee: Guarantee) -> str:
    """Say that a guarantee is none of the thresholds that took the place of its own."""
    promise = format_promise(guarantee.risk, guarantee.target, guarantee.confidence)
    own = [f"{name} {format_threshold(value)}" for name, value in guarantee.thresholds.items()]
    return (
        f"Not guaranteed: {promise} was shown of other thresholds ({', '.join(own)}) and is "
        "dropped; 'edgeexit tune' with --confidence shows it anew."
    )


# tables, which a terminal and a page draw each in its own way

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and whether it holds numbers, which stand on the right."""

    heading: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text; a line break in a heading or a cell is kept.

    Attributes:
        title: above it.
        columns: as many as each row has cells.
        groups: rows; a line is drawn between groups.
        notes: below it, a line each.
    """

    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[Row, ...], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        title: str,
        columns: Iterable[Column],
        *groups: Iterable[Row],
        notes: Iterable[str] = (),
    ) -> Table:
        """Return a table of these groups and notes but those that are empty."""
        filled = tuple(rows for rows in map(tuple, groups) if rows)
        return cls(title, tuple(columns), filled, tuple(note for note in notes if note))


def texts(*headings: str) -> tuple[Column, ...]:
    """Return columns of words."""
    return tuple(Column(heading, False) for heading in headings)


def numbers(*headings: str) -> tuple[Column, ...]:
    """Return columns of numbers."""
    return tuple(Column(heading, True) for heading in headings)


def named_numbers(first: str, *headings: str) -> tuple[Column, ...]:
    """Return a column of names, and columns of numbers."""
    return *texts(first), *numbers(*headings)
