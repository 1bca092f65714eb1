"""``edgeexit triton``: a bundle -> a model repository of Triton Inference Server."""

from __future__ import annotations

from pathlib import Path

import click

from edgeexit.cli.options.bundle import bundle_argument
from edgeexit.cli.output.pack import print_repository, repository_json
from edgeexit.cli.terminal import print_json


@click.command("triton")
@bundle_argument
@click.option(
    "-o",
    "--output",
    default="repository",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The repository's folder, new or empty.",
)
@click.option(
    "--name",
    default="edgeexit",
    show_default=True,
    help="Name of the model for requests; the parts' names begin with it.",
)
@click.option(
    "--platform",
    default="onnxruntime_onnx",
    show_default=True,
    type=click.Choice(["onnxruntime_onnx", "tensorrt_plan"]),
    help="Backend of the parts: ONNX Runtime, or TensorRT with the engines that 'edgeexit build' "
    "added to the bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a description as JSON.")
def command(bundle: Path, output: Path, name: str, platform: str, as_json: bool) -> None:
    """Write a bundle as a model repository that Triton Inference Server loads.

    There is one model per part, with the bundle's file, and an early-exit model in Python that
    runs them in sequence: waiting requests are batched, and images that an exit is confident of
    leave before the next part runs. Thresholds are parameters of its config.pbtxt.

    \b
    Examples:
      edgeexit triton out/ -o repository/
      tritonserver --model-repository repository/
    """
    from edgeexit.export.triton.repository import write_repository

    repository = write_repository(bundle, output, name, platform)
    if as_json:
        print_json(repository_json(repository))
    else:
        print_repository(repository)
