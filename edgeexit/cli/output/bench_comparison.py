"""``edgeexit bench --compare``: two saved reports side by side."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from edgeexit.cli.common import console, remark
from edgeexit.cli.output.bench import print_comparison


def check_alone(ctx: click.Context, option: str, allowed: tuple[str, ...]) -> None:
    """Raise UsageError where an option was given that does not go with ``option``.

    Args:
        ctx: of the command.
        option: such as ``--compare``.
        allowed: names of the parameters that do, ``option``'s own among them.
    """
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name in allowed or ctx.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        raise click.UsageError(
            f"{parameter.opts[0]} does not go with {option}, which measures nothing"
        )


def compare_files(first: Path, second: Path, details: bool, json_file: Path | None) -> None:
    """Print how two saved reports differ, and write it as JSON where a file is named."""
    from edgeexit_runtime.bundle.schema import encode

    from edgeexit.bench import load_report
    from edgeexit.bench.compare.compare import compare_reports
    from edgeexit.bench.render.comparison import comparison_verdict
    from edgeexit.files import write_json

    comparison = compare_reports(load_report(first), load_report(second), (str(first), str(second)))
    print_comparison(comparison, details, console())
    if json_file is not None:
        value = {"verdict": comparison_verdict(comparison), **encode(comparison)}
        write_json(json_file, value)
        remark(f"wrote {json_file}")
