"""``edgeexit triton``: a bundle -> a model repository of Triton Inference Server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from edgeexit.cli.options.bundle import bundle_argument
from edgeexit.cli.options.fields import PATH, flag, option, takes
from edgeexit.cli.options.shared import output_option
from edgeexit.cli.output.pack import print_repository, repository_json
from edgeexit.cli.terminal import print_json


@dataclass(frozen=True, slots=True)
class TritonOptions:
    """The bundle, and the repository to write."""

    bundle: Path = bundle_argument()
    output: Path = output_option(
        "The repository's folder, new or empty.",
        default=Path("repository"),
        type=PATH,
    )
    name: str = option(
        "Name of the model for requests; the parts' names begin with it.", default="edgeexit"
    )
    platform: str = option(
        "Backend of the parts: ONNX Runtime, or TensorRT with the engines that 'edgeexit build' "
        "added to the bundle.",
        default="onnxruntime_onnx",
        type=click.Choice(["onnxruntime_onnx", "tensorrt_plan"]),
    )
    as_json: bool = flag("Print a description as JSON.", "--json")


@click.command("triton")
@takes(TritonOptions)
def command(options: TritonOptions) -> None:
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

    repository = write_repository(options.bundle, options.output, options.name, options.platform)
    if options.as_json:
        print_json(repository_json(repository))
    else:
        print_repository(repository)
