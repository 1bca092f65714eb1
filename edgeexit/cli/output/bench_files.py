"""The report files of ``edgeexit bench``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeexit.cli.options.fields import FILE, option
from edgeexit.cli.terminal import remark

if TYPE_CHECKING:
    from edgeexit.bench import BenchReport

JSON, HTML, PNG = (Path(f"report.{ending}") for ending in ("json", "html", "png"))
HEAD_BYTES = 512
JSON_HEAD = re.compile(rb'{\s*"schema_version": \d+,\s*"batch_size": 1,\s*"verdict": ')
HTML_HEAD = re.compile(rb'<meta name="generator" content="edgeexit">')


def _file(name: str, default: Path, text: str) -> Any:
    return option(
        f"{text}  [without FILE: {default}]",
        name,
        is_flag=False,
        flag_value=default,
        metavar="[FILE]",
        type=FILE,
    )


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """The files to write; each option takes an optional FILE."""

    plot_file: Path | None = _file(
        "--plot", PNG, "Write a picture, measured against Eq. 5: .png, .pdf or .svg."
    )
    html_file: Path | None = _file(
        "--html", HTML, "Write a self-contained page with pictures: .html."
    )
    json_file: Path | None = _file("--json", JSON, "Write everything, including raw times.")

    def check(self) -> None:
        """Check that every file can be written, before minutes are spent on measuring.

        Raises:
            InputError: a name has the wrong suffix.
            WriteError: a file cannot be written, or has a default name and is not one of ours.
        """
        from edgeexit.bench import check_page_path, check_plot_path
        from edgeexit.errors import WriteError
        from edgeexit.files import check_writable

        if self.plot_file is not None:
            check_plot_path(self.plot_file)
        if self.html_file is not None:
            check_page_path(self.html_file)
        for file in filter(None, (self.json_file, self.html_file, self.plot_file)):
            if file in (JSON, HTML, PNG) and file.exists() and not _is_report(file):
                raise WriteError(
                    f"{file}: is there, and is no report of 'edgeexit bench'; move it away or "
                    "give another name"
                )
            check_writable(file)

    def check_named(self) -> None:
        """Raise :class:`click.UsageError` if other JSON would get the default name of a report."""
        if self.json_file == JSON:
            raise click.UsageError(f"{JSON} is the name of a report: give --json another")

    def write(self, report: BenchReport) -> None:
        """Write the files: JSON first, since all others can be made from it."""
        from edgeexit.bench import plot_reports, report_json, write_page
        from edgeexit.files import write_json

        if self.json_file is not None:
            write_json(self.json_file, report_json(report))
            remark(f"wrote {self.json_file}")
        if self.plot_file is not None:
            plot_reports([report], self.plot_file)
            remark(f"wrote {self.plot_file}")
        if self.html_file is not None:
            write_page(report, self.html_file)
            remark(f"wrote {self.html_file}")


def _is_report(file: Path) -> bool:
    """Whether ``edgeexit bench`` wrote a file with a default name, judged by its first bytes."""
    from edgeexit.drawing.saving import is_own_png

    if file == PNG:
        return is_own_png(file)
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return False
    return (JSON_HEAD if file == JSON else HTML_HEAD).search(head) is not None
