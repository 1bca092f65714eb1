"""Report -> HTML file: its sections, with key figures and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from edgeexit.bench.render.page.explanation_pictures import breakdown_picture, roofline_picture
from edgeexit.bench.render.page.paths_picture import paths_picture
from edgeexit.bench.render.page.pictures import (
    energy_picture,
    front_picture,
    latency_picture,
    offline_picture,
)
from edgeexit.bench.render.report import (
    ENERGY,
    FRONT,
    LATENCY,
    PATHS,
    SCENARIOS,
    WHY,
    sections,
)
from edgeexit.bench.render.verdict import verdict
from edgeexit.bench.results.report import BenchReport
from edgeexit.errors import InputError
from edgeexit.files import replace_file

SUFFIXES = (".html", ".htm")
TEMPLATE = "report.html.j2"


def check_page_path(path: str | Path) -> None:
    """Raise :class:`InputError` if the suffix of ``path`` is not that of an HTML page."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a page's name that ends in {' or '.join(SUFFIXES)}")


def write_page(report: BenchReport, path: str | Path) -> None:
    """Write the page of a report.

    Args:
        report: to write.
        path: the file; an existing file is kept if the page cannot be made.

    Raises:
        InputError: the file has another suffix.
        WriteError: the file cannot be written.
    """
    check_page_path(path)
    text = render_page(report)
    with replace_file(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_page(report: BenchReport) -> str:
    """Return the page. All text is escaped; pictures are SVG elements."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgeexit.bench.render.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        report=report,
        verdict=verdict(report),
        is_warning=bool(report.state.throttled),
        figures=key_figures(report),
        sections=list(sections(report)),
        pictures=pictures(report),
    )


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as an SVG element, with a caption."""

    svg: Markup
    words: str = ""


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One number in large print, and its meaning."""

    value: str
    what: str


def key_figures(report: BenchReport) -> tuple[KeyFigure, ...]:
    """Return the most important numbers."""
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


def pictures(report: BenchReport) -> dict[str, list[Picture]]:
    """Return the pictures by the titles of their sections."""
    mixture, explanation, scenarios = report.mixture, report.explanation, report.scenarios
    found: dict[str, list[Picture]] = {PATHS: [Picture(paths_picture(report))]}
    if mixture is not None:
        front = front_picture(mixture)
        words = (
            f"{mixture.samples} images of {mixture.source}, one by one. Up and to the left is "
            "better."
        )
        found[FRONT] = [] if front is None else [Picture(front, words)]
        words = "Share of the images answered within a given time. Up and to the left is faster."
        found[LATENCY] = [Picture(latency_picture(mixture), words)]
    if explanation is not None:
        roofline = roofline_picture(explanation)
        drawn = [breakdown_picture(explanation)] if explanation.breakdowns else []
        drawn += [roofline] if roofline is not None else []
        found[WHY] = [Picture(svg) for svg in drawn]
    if scenarios is not None and scenarios.offline is not None:
        found[SCENARIOS] = [Picture(offline_picture(scenarios.offline))]
    if report.energy.runs:
        found[ENERGY] = [Picture(energy_picture(report.energy))]
    return found
