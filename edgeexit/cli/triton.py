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
    help="The repository's folder, which is new or empty.",
)
@click.option(
    "--name",
    default="edgeexit",
    show_default=True,
    help="Of the model that requests name; those of the parts begin with it.",
)
@click.option(
    "--platform",
    default="onnxruntime_onnx",
    show_default=True,
    type=click.Choice(["onnxruntime_onnx", "tensorrt_plan"]),
    help="What runs the parts: ONNX Runtime, or TensorRT, whose engines 'edgeexit build' has added "
    "to the bundle.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(bundle: Path, output: Path, name: str, platform: str, as_json: bool) -> None:
    """Write a bundle as a model repository that Triton Inference Server loads.

    There is one model for each part, whose file is the bundle's, and an early-exit model in Python
    that chains them: requests that wait are answered together, and who is sure of an answer leaves
    before the next part runs. Thresholds are parameters of its config.pbtxt.

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
