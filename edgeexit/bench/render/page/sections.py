"""What stands on the page of a report, in order: what it lacks is said in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from edgeexit.bench.render.advice import advice_table, advice_text
from edgeexit.bench.render.backends import backends_table, backends_text
from edgeexit.bench.render.explanation import (
    breakdown_table,
    breakdown_text,
    faster_text,
    model_text,
    peaks_text,
    roofline_table,
)
from edgeexit.bench.render.page.device_pictures import energy_picture, offline_picture
from edgeexit.bench.render.page.explanation_pictures import breakdown_picture, roofline_picture
from edgeexit.bench.render.page.mixture_pictures import front_picture, latency_picture
from edgeexit.bench.render.page.paths_picture import paths_picture
from edgeexit.bench.render.scenarios import scenario_tables
from edgeexit.bench.render.setup import clock_lines, setup_table, temperature_lines
from edgeexit.bench.render.table import Table
from edgeexit.bench.render.tables import (
    energy_table,
    mixture_table,
    parts_table,
    paths_table,
    runs_table,
)
from edgeexit.bench.results.report import BenchReport

NO_IMAGES = (
    "Not measured: no images were given. Run it again with --dataset, --images or --npz to see "
    "what a mixture of real images takes."
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        title: its heading.
        words: paragraphs.
        details: more of them, shown when they are asked for.
        pictures: SVG elements.
        tables: below them.
        missing: why there is nothing, where there is nothing.
    """

    title: str
    words: tuple[str, ...] = ()
    pictures: tuple[Markup, ...] = ()
    tables: tuple[Table, ...] = ()
    details: tuple[str, ...] = ()
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number in large print and what it is."""

    value: str
    what: str


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


def sections(report: BenchReport) -> Iterator[Section]:
    """Yield the sections of a report."""
    yield _front(report)
    paths = (paths_table(report), parts_table(report))
    yield Section("Exit paths", (), (paths_picture(report),), paths)
    if report.backends is not None:
        words = tuple(backends_text(report))
        yield Section("Backends", words, (), (backends_table(report, report.backends),))
    yield _why(report)
    yield _latency(report)
    yield _advice(report)
    yield _scenarios(report)
    yield _energy(report)
    yield Section("Set-up", tables=(setup_table(report),))


def _front(report: BenchReport) -> Section:
    title, mixture = "Accuracy against time", report.mixture
    if mixture is None:
        return Section(title, missing=NO_IMAGES)
    picture = front_picture(mixture)
    if picture is None:
        return Section(title, missing="Not known: the images have no labels.")
    words = (
        f"{mixture.samples} images of {mixture.source}, one by one. Up and to the left is better.",
    )
    return Section(title, words, (picture,))


def _why(report: BenchReport) -> Section:
    title, explanation = "Why not Eq. 5", report.explanation
    if explanation is None:
        return Section(title, missing="No explanation was measured in this report.")
    words = [peaks_text(explanation)]
    pictures, tables = [], []
    if explanation.breakdowns:
        pictures.append(breakdown_picture(explanation))
        tables = [breakdown_table(explanation), roofline_table(explanation)]
        faster = faster_text(explanation)
        words += [faster] if faster is not None else []
    details = tuple(breakdown_text(it, explanation) for it in explanation.breakdowns)
    roofline = roofline_picture(explanation)
    pictures += [roofline] if roofline is not None else []
    words += model_text(explanation.model, len(report.parts))
    return Section(title, tuple(words), tuple(pictures), tuple(tables), details)


def _latency(report: BenchReport) -> Section:
    title, mixture = "Latency", report.mixture
    if mixture is None:
        return Section(title, missing=NO_IMAGES)
    words = (
        "Which share of the images was answered within which time: up and to the left is sooner.",
    )
    tables = (mixture_table(mixture), runs_table(mixture))
    return Section(title, words, (latency_picture(mixture),), tables)


def _advice(report: BenchReport) -> Section:
    title, advice = "Advice", report.advice
    if advice is not None:
        return Section(title, tuple(advice_text(advice)), tables=(advice_table(advice),))
    why = report.no_advice or "no advice was asked for in this report"
    return Section(title, missing=f"{why[0].upper()}{why[1:]}.")


def _scenarios(report: BenchReport) -> Section:
    title, scenarios = "Scenarios", report.scenarios
    if scenarios is None:
        return Section(title, missing="None was asked for: --scenario and --qps with real images.")
    pictures = () if scenarios.offline is None else (offline_picture(scenarios.offline),)
    return Section(title, (), pictures, tuple(scenario_tables(scenarios)))


def _energy(report: BenchReport) -> Section:
    energy, state = report.energy, report.state
    words = [*clock_lines(state), *temperature_lines(state)]
    if not words:
        words.append("The device tells neither its clocks nor its temperatures.")
    words = [*energy.notes, *words]
    pictures = (energy_picture(energy),) if energy.runs else ()
    tables = (energy_table(energy),) if energy.runs else ()
    return Section("Energy and clocks", tuple(words), pictures, tables)
