"""``edgeexit serve``: a bundle as a service over HTTP."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from edgeexit.cli.options.backend import backend_options
from edgeexit.cli.options.shared import engine_dir_option


@click.command("serve")
@engine_dir_option()
@click.option(
    "--name", default="edgeexit", show_default=True, help="Name of the model in requests."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--sessions",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Sessions that run in parallel; with --threads 1, use one per core.",
)
@click.option(
    "--max-batch",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of images in a batch.",
)
@click.option(
    "--max-wait-ms",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="How long an incomplete batch waits for more images.",
)
@click.option(
    "--queue",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum number of waiting images; more are refused with status 429.",
)
@click.option(
    "--deadline-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="Milliseconds per batch, after which the best answer so far is given.",
)
@click.option(
    "--max-bytes",
    default=10_000_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum size of a request's body, in bytes.",
)
@click.option(
    "--max-pixels",
    default=25_000_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Maximum size of an image; larger ones are refused before decoding.",
)
@click.option(
    "--timeout-s",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Time limit to receive a body, and to answer accepted requests on shutdown.",
)
@backend_options
def command(engine_dir: Path, **options: Any) -> None:
    """Answer requests over HTTP: the Open Inference Protocol (KServe v2), and image files.

    Waiting requests are batched. SIGHUP reloads the bundle; SIGTERM and Ctrl-C answer accepted
    requests and end. There is neither encryption nor authentication: keep it on 127.0.0.1, behind
    a server that has both. Needs pip install 'edgeexit-runtime[serve]'.

    \b
    Examples:
      edgeexit serve --engine-dir out/ --sessions 4 --threads 1
      curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict
    """
    from edgeexit_runtime.serving import serve
    from edgeexit_runtime.serving.options import ServeOptions

    logging.basicConfig(format="%(message)s", level=logging.INFO)
    serve(engine_dir, ServeOptions(**options))
