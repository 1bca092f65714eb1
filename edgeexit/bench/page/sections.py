"""What stands on the page of a report, in order: what it lacks is said in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edgeexit.bench.explanation_words import (
    breakdown_words,
    faster_words,
    model_words,
    peaks_words,
)
from edgeexit.bench.page.device_pictures import energy_picture, offline_picture
from edgeexit.bench.page.mixture_pictures import front_picture, latency_picture
from edgeexit.bench.page.path_pictures import (
    breakdown_picture,
    paths_picture,
    roofline_picture,
)
from edgeexit.bench.render.advice import advice_text
from edgeexit.bench.report import BenchReport
from edgeexit.bench.state import clock_lines, temperature_lines

__all__ = ["KeyFigure", "PageTable", "Section", "key_figures", "sections"]

NO_IMAGES = (
    "Not measured: no images were given. Run it again with --dataset, --images or --npz to see "
    "what a mixture of real images takes."
)


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table in words.

    Attributes:
        title, note: above and below it; the note may be empty.
        headings: of the columns.
        numeric: which columns stand on the right.
        rows: cells; a line break in one is kept.
        section_ends: rows that a line is drawn under.
    """

    title: str
    note: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    section_ends: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        title: its heading, which is also the tables' key.
        words: paragraphs.
        details: more of them, shown when they are asked for.
        pictures: SVG elements.
        tables: below them.
        missing: why there is nothing, where there is nothing.
    """

    title: str
    words: tuple[str, ...] = ()
    pictures: tuple[Markup, ...] = ()
    tables: tuple[PageTable, ...] = ()
    details: tuple[str, ...] = ()
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number in large print and what it is."""

    value: str
    what: str


FRONT, PATHS, WHY, LATENCY = "Accuracy against time", "Exit paths", "Why not Eq. 5", "Latency"
SCENARIOS, ADVICE, ENERGY, SETUP = "Scenarios", "Advice", "Energy and clocks", "Set-up"


def key_figures(report: BenchReport) -> tuple[KeyFigure, ...]:
    """Return the few numbers that a reader looks for first."""
    mixture = report.mixture
    if mixture is None:
        return tuple(
            KeyFigure(f"{path.ratio:.2f}×", f"of the plain backbone's time to {path.name}")
            for path in report.paths[:4]
        )
    ours, theirs = mixture.early_exit, mixture.baseline
    found = [
        KeyFigure(
            f"{ours.ratio.value:.2f}×",
            f"of the plain backbone's time; Eq. 5 says {mixture.macs_ratio:.2f}×",
        ),
        KeyFigure(
            f"{ours.latency.mean_ms:.3g} ms",
            f"per image on average; plain backbone {theirs.latency.mean_ms:.3g} ms",
        ),
    ]
    if ours.accuracy is not None and theirs.accuracy is not None:
        found.append(
            KeyFigure(f"{ours.accuracy:.1%}", f"accuracy; plain backbone {theirs.accuracy:.1%}")
        )
    first = mixture.exits[0]
    found.append(
        KeyFigure(f"{first.share:.0%}", f"of {mixture.samples} images left at {first.name}")
    )
    return tuple(found)


def sections(report: BenchReport, tables: Mapping[str, Sequence[PageTable]]) -> Iterator[Section]:
    """Yield the sections of a report.

    Args:
        report: what was measured.
        tables: by the section's title.
    """

    def having(title: str) -> tuple[PageTable, ...]:
        return tuple(tables.get(title, ()))

    yield _front(report)
    yield Section(PATHS, (), (paths_picture(report),), having(PATHS))
    yield _why(report, having(WHY))
    yield _latency(report, having(LATENCY))
    yield _advice(report, having(ADVICE))
    yield _scenarios(report, having(SCENARIOS))
    yield _energy(report, having(ENERGY))
    yield Section(SETUP, tables=having(SETUP))


def _front(report: BenchReport) -> Section:
    if report.mixture is None:
        return Section(FRONT, missing=NO_IMAGES)
    picture = front_picture(report)
    if picture is None:
        return Section(FRONT, missing="Not known: the images have no labels.")
    words = (
        f"{report.mixture.samples} images of {report.mixture.source}, one by one. Up and to the "
        "left is better.",
    )
    return Section(FRONT, words, (picture,))


def _why(report: BenchReport, tables: tuple[PageTable, ...]) -> Section:
    explanation = report.explanation
    if explanation is None:
        return Section(WHY, missing="No explanation was measured in this report.")
    words = [peaks_words(explanation)]
    pictures = []
    if explanation.breakdowns:
        pictures.append(breakdown_picture(explanation))
        faster = faster_words(explanation)
        words += [faster] if faster is not None else []
    details = tuple(breakdown_words(it, explanation) for it in explanation.breakdowns)
    roofline = roofline_picture(explanation)
    pictures += [roofline] if roofline is not None else []
    words += model_words(explanation.model, len(report.parts))
    return Section(WHY, tuple(words), tuple(pictures), tables, details)


def _latency(report: BenchReport, tables: tuple[PageTable, ...]) -> Section:
    if report.mixture is None:
        return Section(LATENCY, missing=NO_IMAGES)
    words = (
        "Which share of the images was answered within which time: up and to the left is sooner.",
    )
    return Section(LATENCY, words, (latency_picture(report.mixture),), tables)


def _advice(report: BenchReport, tables: tuple[PageTable, ...]) -> Section:
    if report.advice is not None:
        return Section(ADVICE, tuple(advice_text(report.advice)), (), tables)
    why = report.no_advice or "no advice was asked for in this report"
    return Section(ADVICE, missing=f"{why[0].upper()}{why[1:]}.")


def _scenarios(report: BenchReport, tables: tuple[PageTable, ...]) -> Section:
    scenarios = report.scenarios
    if scenarios is None:
        return Section(
            SCENARIOS, missing="None was asked for: --scenario and --qps with real images."
        )
    pictures = () if scenarios.offline is None else (offline_picture(scenarios.offline),)
    return Section(SCENARIOS, (), pictures, tables)


def _energy(report: BenchReport, tables: tuple[PageTable, ...]) -> Section:
    energy, state = report.energy, report.state
    words = [*clock_lines(state), *temperature_lines(state)]
    if not words:
        words.append("The device tells neither its clocks nor its temperatures.")
    pictures = (energy_picture(energy),) if energy.runs else ()
    return Section(ENERGY, (*energy.notes, *words), pictures, tables)
