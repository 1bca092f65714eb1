"""Numbers and tables as text, the same in reports and in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR, Guarantee
from edgeexit_runtime.gate import NEVER

_RISKS = {
    DROP: "a drop in accuracy against the last exit",
    ERROR: "an error rate",
    DISAGREEMENT: "a disagreement with the last exit",
}


def format_macs(macs: float) -> str:
    """Return MACs rounded as in the paper, ``46.97M``, ``1.814G``; below 1e5, the exact count."""
    if macs >= 1e9:
        return f"{macs / 1e9:.3f}G"
    return f"{macs / 1e6:.2f}M" if macs >= 1e5 else f"{macs:.0f}"


def format_cost(cost: float, unit: str) -> str:
    """Return a cost with its unit; MACs are rounded as in the paper."""
    return f"{format_bare_cost(cost, unit)} {unit}"


def format_bare_cost(cost: float | None, unit: str) -> str:
    """Return a cost without its unit; ``-`` if unknown."""
    if cost is None:
        return "-"
    return format_macs(cost) if unit == "MACs" else f"{cost:.4g}"


def format_threshold(threshold: float | None) -> str:
    """Return a threshold, ``never`` if the exit is switched off, an empty string for ``final``."""
    if threshold is None:
        return ""
    return "never" if threshold == NEVER else f"{threshold:.7g}"


def format_fraction(fraction: float | None) -> str:
    """Return a fraction such as an accuracy; ``-`` if unknown."""
    return "-" if fraction is None else f"{fraction:.4f}"


def format_ms(milliseconds: float | None) -> str:
    """Return milliseconds with three decimals; ``-`` if unknown."""
    return "-" if milliseconds is None else f"{milliseconds:.3f}"


def format_threads(threads: int | None) -> str:
    """Return the number of threads per graph, which may be left to the backend."""
    return "the backend's choice" if threads is None else str(threads)


def format_command(*words: object) -> str:
    """Return an edgeexit command as one line, quoted for a shell."""
    return shlex.join(["edgeexit", *map(str, words)])


def format_promise(risk: str, target: float, confidence: float) -> str:
    """Return the phrase that describes what a guarantee promises."""
    return f"{_RISKS[risk]} of at most {target:g} with confidence {confidence:g}"


def format_guarantee(guarantee: Guarantee, thresholds: Mapping[str, float]) -> str:
    """Return a guarantee as a sentence; if the thresholds have changed, that it is dropped."""
    if not guarantee.holds_for(thresholds):
        return format_dropped(guarantee)
    promise = format_promise(guarantee.risk, guarantee.target, guarantee.confidence)
    return (
        f"Guaranteed: {promise}, shown on {guarantee.images:,} images of {guarantee.data} "
        f"({guarantee.observed:.4f} there)."
    )


def format_dropped(guarantee: Guarantee) -> str:
    """Return the sentence that a guarantee does not hold for the new thresholds."""
    promise = format_promise(guarantee.risk, guarantee.target, guarantee.confidence)
    own = [f"{name} {format_threshold(value)}" for name, value in guarantee.thresholds.items()]
    return (
        f"Not guaranteed: {promise} was shown for other thresholds ({', '.join(own)}) and is "
        "dropped; 'edgeexit tune' with --confidence shows it again."
    )


# tables; the terminal and the HTML report each draw them in their own way

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and whether it holds numbers, which are right-aligned."""

    heading: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text cells; line breaks in headings and cells are kept.

    Attributes:
        title: shown above the table.
        columns: one per cell of a row.
        groups: groups of rows, separated by a line.
        notes: shown below the table, one line each.
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
        """Return a table of these groups and notes; empty ones are omitted."""
        filled = tuple(rows for rows in map(tuple, groups) if rows)
        return cls(title, tuple(columns), filled, tuple(note for note in notes if note))


def in_two_lines(heading: str) -> str:
    """Return a heading of several words with a line break behind the first."""
    return heading.replace(" ", "\n", 1)


def texts(*headings: str) -> tuple[Column, ...]:
    """Return text columns."""
    return tuple(Column(heading, False) for heading in headings)


def numbers(*headings: str) -> tuple[Column, ...]:
    """Return number columns."""
    return tuple(Column(heading, True) for heading in headings)


def named_numbers(first: str, *headings: str) -> tuple[Column, ...]:
    """Return a text column followed by number columns."""
    return *texts(first), *numbers(*headings)
