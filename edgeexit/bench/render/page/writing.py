"""Report -> HTML file."""

from __future__ import annotations

from pathlib import Path

from edgeexit.bench.render.page.highlights import key_figures, pictures
from edgeexit.bench.render.report import sections
from edgeexit.bench.render.verdict import verdict
from edgeexit.bench.results.report import BenchReport
from edgeexit.errors import InputError
from edgeexit.files import replace_file

SUFFIXES = (".html", ".htm")
TEMPLATE = "report.html.j2"


def check_page_path(path: Path) -> None:
    """Raise :class:`InputError` where the ending of ``path`` is not that of a page."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a page's name that ends in {' or '.join(SUFFIXES)}")


def write_page(report: BenchReport, path: Path) -> None:
    """Write the page of a report.

    Args:
        report: what was measured.
        path: the file; what stood there before stays where the page cannot be made.

    Raises:
        InputError: another ending.
        WriteError: the file cannot be written.
    """
    check_page_path(path)
    text = render_page(report)
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render_page(report: BenchReport) -> str:
    """Return the page. Every name and word in it is escaped; pictures are SVG elements."""
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
