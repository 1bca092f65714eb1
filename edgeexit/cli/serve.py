"""``edgeexit serve``: a bundle as a service over HTTP."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from edgeexit.cli.options.backend import BundleBackendOptions
from edgeexit.cli.options.fields import option, takes
from edgeexit.cli.options.shared import ABOVE_0, AT_LEAST_1, engine_dir_option


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """A bundle and the options of its service, see ``ServeOptions`` of the runtime."""

    engine_dir: Path = engine_dir_option()
    name: str = option("Name of the model in requests.", default="edgeexit")
    host: str = option("Address to listen on.", default="127.0.0.1")
    port: int = option(None, default=8000, type=click.IntRange(0, 65535))
    sessions: int = option(
        "Sessions that run in parallel; with --threads 1, use one per core.",
        default=1,
        type=AT_LEAST_1,
    )
    max_batch: int = option("Maximum number of images in a batch.", default=8, type=AT_LEAST_1)
    max_wait_ms: float = option(
        "How long an incomplete batch waits for more images.",
        default=0.0,
        type=click.FloatRange(min=0),
    )
    queue: int = option(
        "Maximum number of waiting images; more are refused with status 429.",
        default=256,
        type=AT_LEAST_1,
    )
    deadline_ms: float | None = option(
        "Milliseconds per batch, after which the best answer so far is given.", type=ABOVE_0
    )
    max_bytes: int = option(
        "Maximum size of a request's body, in bytes.", default=10_000_000, type=AT_LEAST_1
    )
    max_pixels: int = option(
        "Maximum size of an image; larger ones are refused before decoding.",
        default=25_000_000,
        type=AT_LEAST_1,
    )
    timeout_s: float = option(
        "Time limit to receive a body, and to answer accepted requests on shutdown.",
        default=10.0,
        type=ABOVE_0,
    )


@click.command("serve")
@takes(ServiceOptions)
@takes(BundleBackendOptions)
def command(service: ServiceOptions, backend: BundleBackendOptions) -> None:
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
    values = {**asdict(service), **asdict(backend)}
    serve(values.pop("engine_dir"), ServeOptions(**values))
