"""``edgeexit figures``: the paper's figures of trained networks, and the numbers in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network
from edgeexit.cli.inputs.samples import SampleOptions
from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import options, taken
from edgeexit.cli.terminal import print_json, progress_bar, remark, say


@click.command("figures")
@click.argument(
    "paths", metavar="CKPT|RUN|BUNDLE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o",
    "--output",
    default="figures",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for the figures; older figures there are replaced, other files never.",
)
@click.option(
    "--only",
    metavar="F1,F2,...",
    help="Figures to draw, by name or by the paper's number: confidence (fig4), patterns (fig5), "
    "front (fig6 to fig8), classes (fig9), groups (fig10), examples (fig11).  [default: all]",
)
@click.option(
    "--accuracy",
    type=typed.fraction,
    help="Adaptive accuracy on val that patterns compares at.  [default: the highest that all "
    "networks reach, less 0.01]",
)
@click.option(
    "--examples-per-exit",
    default=6,
    show_default=True,
    type=click.IntRange(1, 8),
    help="Images per exit in the figure examples.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Seed of the choice of these images.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the written files as JSON.")
@options(NetworkOptions)
@options(SampleOptions)
def command(
    paths: tuple[Path, ...],
    output: Path,
    only: str | None,
    accuracy: float | None,
    examples_per_exit: int,
    seed: int,
    as_json: bool,
    **values: Any,
) -> None:
    """Draw the paper's figures of trained networks, on test images.

    Networks are checkpoints, folders of runs, or bundles, whose own graphs are run. Each figure is
    written as PNG, as PDF, and as CSV with exactly the numbers drawn. confidence, classes, groups
    and examples show each network at its own thresholds; patterns and front compare all networks
    at thresholds chosen on validation images.

    \b
    Example:
      edgeexit figures run-3+1/ run-2+2/ plain/ out-fp16/
    """
    from edgeexit.errors import WriteError
    from edgeexit.paper.cli.figures_subjects import load_subjects
    from edgeexit.paper.figures import (
        FigureOptions,
        find_sources,
        list_figures,
        make_figures,
        plan_figures,
        select_figures,
    )

    names = None if only is None else [name.strip() for name in only.split(",")]
    kinds = list_figures() if names is None else select_figures(names)
    if output.exists() and not output.is_dir():
        raise WriteError(f"{output}: is a file, expected a folder; choose another name")
    network, samples = taken(NetworkOptions, values), SampleOptions(**values)
    factory = network.factory()
    sources = find_sources(paths, lambda path: load_network(path, network, samples))
    subjects = load_subjects(sources, samples, factory)
    plans, remarks = plan_figures(kinds, subjects)
    for line in remarks:
        remark(line)
    figures = make_figures(plans, FigureOptions(accuracy, examples_per_exit, seed), output)
    with progress_bar() as bar:
        written = list(bar.track(figures, len(plans), description="figures"))
    if as_json:
        print_json({"output": str(output), "figures": written, "remarks": remarks})
        return
    for figure in written:
        endings = ", ".join(Path(file).suffix[1:] for file in figure.files)
        say(f"{Path(figure.files[0]).with_suffix('')}  {endings}")
