"""Report -> HTML file: its sections, with key figures and pictures."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from edgeexit.bench.render.page.drawing import page_style
from edgeexit.bench.render.page.explanation_pictures import breakdown_picture, roofline_picture
from edgeexit.bench.render.page.pictures import (
    energy_picture,
    front_picture,
    latency_picture,
    offline_picture,
    paths_picture,
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


def key_figures(report: BenchReport) -> list[tuple[str, str]]:
    """Return the most important numbers, each with its meaning."""
    mixture = report.mixture
    if mixture is None:
        return [
            (f"{path.ratio:.2f}×", f"of the plain backbone's time to {path.name}")
            for path in report.paths[:4]
        ]
    ours, theirs, first = mixture.early_exit, mixture.baseline, mixture.exits[0]
    eq5 = f"{mixture.macs_ratio:.2f}×"
    found = [
        (f"{ours.ratio.value:.2f}×", f"of the plain backbone's time; Eq. 5 says {eq5}"),
        (
            f"{ours.latency.mean_ms:.3g} ms",
            f"per image on average; plain backbone {theirs.latency.mean_ms:.3g} ms",
        ),
    ]
    if ours.accuracy is not None and theirs.accuracy is not None:
        found.append((f"{ours.accuracy:.1%}", f"accuracy; plain backbone {theirs.accuracy:.1%}"))
    return [*found, (f"{first.share:.0%}", f"of {mixture.samples} images left at {first.name}")]


@page_style()
def pictures(report: BenchReport) -> dict[str, list[tuple[Markup, str]]]:
    """Return the pictures and their captions by the titles of their sections."""
    mixture, explanation, scenarios = report.mixture, report.explanation, report.scenarios
    found = {PATHS: [(paths_picture(report), "")]}
    if mixture is not None:
        front = front_picture(mixture)
        if front is not None:
            images = f"{mixture.samples} images of {mixture.source}, one by one"
            found[FRONT] = [(front, f"{images}. Up and to the left is better.")]
        caption = "Share of the images answered within a given time. Up and to the left is faster."
        found[LATENCY] = [(latency_picture(mixture), caption)]
    if explanation is not None and explanation.breakdowns:
        found[WHY] = [(breakdown_picture(explanation), "")]
        roofline = roofline_picture(explanation)
        found[WHY] += [(roofline, "")] if roofline is not None else []
    if scenarios is not None and scenarios.offline is not None:
        found[SCENARIOS] = [(offline_picture(scenarios.offline), "")]
    if report.energy.runs:
        found[ENERGY] = [(energy_picture(report.energy), "")]
    return found
