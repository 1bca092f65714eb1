"""Checks of the combinations of options and files of ``edgeexit tune``."""

from __future__ import annotations

from itertools import combinations

import click

from edgeexit.cli.options.backend import check_options_of
from edgeexit.cli.options.limits import LIMITS
from edgeexit.cli.options.shared import refuse
from edgeexit.cli.options.tune import ALL, LATENCY, TuneOptions

_DATA_SET = ("dataset", "data_dir", "download")
_GUARANTEE = ("confidence", "max_error", "max_disagreement")
_CHOOSING = (*LIMITS, *_GUARANTEE, "calibrate", "front", "plot", "output")
_RISK_OPTIONS = "--max-drop, --max-error or --max-disagreement"


def check_together(options: TuneOptions) -> None:
    """Check the combination of options before any work is done.

    Raises:
        click.UsageError: options cannot be combined, or two files are the same.
        InputError, WriteError: a plot's suffix is not that of a picture; a file cannot be written.
    """
    check_options_of(options.path, options.engine_dir)
    _refuse_pairs(options)
    _check_risks(options)
    _check_files(options)


def _refuse_pairs(options: TuneOptions) -> None:
    """Refuse typed options that cannot be combined with others."""
    error = 1 - (options.min_accuracy or 0)
    if options.is_guaranteed:
        refuse(("min_accuracy",), f"is not a guarantee; for one, give --max-error {error:g} alone")
        refuse(
            ("max_cost", "front", "plot"),
            "does not go with a guarantee (--confidence): omit one of them",
        )
    else:
        refuse(
            ("images",),
            "goes with a guarantee: --max-error, --max-disagreement, or --max-drop with "
            "--confidence",
        )
    if options.images is not None:
        refuse(_DATA_SET, "does not go with --images, which replaces the data set")
    if options.engine_dir is not None:
        refuse(("score",), "is part of a bundle's graphs: export the checkpoint with --score")
        refuse(
            ("calibrate",), "is part of a bundle's graphs: calibrate the checkpoint and export it"
        )
        refuse(("output",), "does not go with --engine-dir: thresholds are written into the bundle")
    else:
        refuse(("images",), "goes with --engine-dir")
    if options.engine_dir is None and options.objective == LATENCY:
        refuse(
            ("objective",),
            "latency needs a bundle: export the checkpoint and give --engine-dir, or --costs with "
            "a file of 'edgeexit bench --json'",
        )
    if options.costs is not None:
        refuse(("objective",), "sets the unit of costs, and so does --costs: give one of them")
    if options.score == ALL:
        refuse(_CHOOSING, "does not go with --score all, which only compares; or name one score")
    if options.dry_run:
        refuse(("output",), "does not go with --dry-run, which writes nothing")
    if not options.chooses:
        limits = ", ".join(f"--{name.replace('_', '-')}" for name in LIMITS)
        refuse(("output",), f"needs a limit that chooses the thresholds: give one of {limits}")


def _check_risks(options: TuneOptions) -> None:
    if options.is_guaranteed and len(options.risks) != 1:
        got = ", ".join(f"--max-{risk}" for risk in options.risks) or "none"
        raise click.UsageError(
            f"a guarantee (--confidence) needs exactly one risk, {_RISK_OPTIONS}, got {got}"
        )


def _check_files(options: TuneOptions) -> None:
    """Check that no file overwrites another; only ``-o`` may be the same as CKPT."""
    from edgeexit.bench import check_plot_path
    from edgeexit.files import check_writable

    files = {
        "CKPT": options.path,
        "--costs": options.costs,
        "--front": options.front,
        "--plot": options.plot,
        "--output": options.written,
    }
    given = {name: path.resolve() for name, path in files.items() if path is not None}
    for (name, path), (other, same) in combinations(given.items(), 2):
        if path == same and (name, other) != ("CKPT", "--output"):
            raise click.UsageError(f"{name} and {other} are the same file: {files[name]}")
    for name in given.keys() & {"--front", "--plot"}:
        if options.engine_dir is not None and options.engine_dir.resolve() in given[name].parents:
            raise click.UsageError(
                f"{name} {files[name]} would be in the bundle, which may contain only its own "
                "files: choose another folder"
            )
    if options.plot is not None:
        check_plot_path(options.plot)
    for file in filter(None, (options.written, options.front, options.plot)):
        check_writable(file)
