"""A whole report: its sections, for the terminal and the page, and its JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.bundle.schema import encode

from edgeexit.bench.render.advice import advice_table, advice_text, no_advice_text
from edgeexit.bench.render.backends import backends_table, backends_text
from edgeexit.bench.render.explanation import (
    breakdown_table,
    breakdown_text,
    faster_text,
    model_text,
    peaks_text,
    roofline_table,
)
from edgeexit.bench.render.scenarios import scenario_tables
from edgeexit.bench.render.setup import (
    clock_lines,
    setup_table,
    temperature_lines,
    warm_up_text,
)
from edgeexit.bench.render.tables import (
    energy_table,
    mixture_table,
    parts_table,
    paths_table,
    runs_table,
)
from edgeexit.bench.render.verdict import verdict
from edgeexit.bench.results.report import SCHEMA_VERSION, BenchReport
from edgeexit.formats import Table

# titles; the page finds a section's pictures by its title
FRONT = "Accuracy against time"
PATHS = "Exit paths"
WHY = "Why not Eq. 5"
LATENCY = "Latency"
SCENARIOS = "Scenarios"
ENERGY = "Energy and clocks"
NO_IMAGES = (
    "Not measured: no images were given. Run it again with --dataset, --images or --npz to "
    "measure early exit on real images."
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section.

    Attributes:
        title: its heading.
        words: paragraphs.
        tables: below the paragraphs.
        details: more paragraphs; collapsed on the page.
        missing: why the section is empty; None if it is not.
    """

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    details: tuple[str, ...] = ()
    missing: str | None = None


def report_json(report: BenchReport) -> dict[str, Any]:
    """Return the report as JSON values: all figures, and the raw times in milliseconds."""
    head = {"schema_version": SCHEMA_VERSION, "batch_size": 1, "verdict": verdict(report)}
    return {**head, **encode(report)}


def sections(report: BenchReport) -> Iterator[Section]:
    """Yield the sections of a report in order; a section without results says why."""
    yield _front(report)
    yield Section(PATHS, tables=(paths_table(report), parts_table(report)))
    if report.backends is not None:
        table = backends_table(report, report.backends)
        yield Section("Backends", tuple(backends_text(report)), (table,))
    yield _why(report)
    yield _latency(report)
    yield _advice(report)
    yield _scenarios(report)
    yield _energy(report)
    yield Section("Set-up", (warm_up_text(report.warm_up),), (setup_table(report),))


def _front(report: BenchReport) -> Section:
    mixture = report.mixture
    if mixture is None:
        return Section(FRONT, missing=NO_IMAGES)
    if all(run.accuracy is None for run in mixture.runs):
        return Section(FRONT, missing="Not known: the images have no labels.")
    return Section(FRONT)


def _why(report: BenchReport) -> Section:
    title, explanation = WHY, report.explanation
    if explanation is None:
        return Section(title, missing="No explanation was measured in this report.")
    words, tables = [peaks_text(explanation)], []
    if explanation.breakdowns:
        tables = [breakdown_table(explanation), roofline_table(explanation)]
        faster = faster_text(explanation)
        words += [faster] if faster is not None else []
    words += model_text(explanation.model, len(report.parts))
    details = tuple(breakdown_text(it, explanation) for it in explanation.breakdowns)
    return Section(title, tuple(words), tuple(tables), details)


def _latency(report: BenchReport) -> Section:
    title, mixture = LATENCY, report.mixture
    if mixture is None:
        return Section(title, missing=NO_IMAGES)
    return Section(title, tables=(mixture_table(mixture), runs_table(mixture)))


def _advice(report: BenchReport) -> Section:
    title, advice = "Advice", report.advice
    if advice is not None:
        return Section(title, tuple(advice_text(advice)), (advice_table(advice),))
    why = report.no_advice or "no advice was requested in this report"
    return Section(title, missing=no_advice_text(why))


def _scenarios(report: BenchReport) -> Section:
    title, scenarios = SCENARIOS, report.scenarios
    if scenarios is None:
        return Section(
            title, missing="None was requested: give --scenario or --qps, with real images."
        )
    return Section(title, tables=tuple(scenario_tables(scenarios)))


def _energy(report: BenchReport) -> Section:
    energy, state = report.energy, report.state
    words = [*clock_lines(state), *temperature_lines(state)]
    if not words:
        words.append("The device reports neither clocks nor temperatures.")
    tables = (energy_table(energy),) if energy.runs else ()
    return Section(ENERGY, (*energy.notes, *words), tables)
