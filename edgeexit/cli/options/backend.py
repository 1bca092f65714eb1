"""What runs a bundle: options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from edgeexit_runtime.backends import AUTO, BACKENDS

from edgeexit.cli.common import add_options

Command = TypeVar("Command", bound=Callable[..., Any])


class ProvidersType(click.ParamType[tuple[str, ...]]):
    """Execution providers, best first: ``CUDAExecutionProvider,CPUExecutionProvider``."""

    name = "providers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        return tuple(str(value).split(","))


def backend_options(command: Command) -> Command:
    """Add ``--backend``, ``--device``, ``--providers``, ``--threads``.

    See :func:`edgeexit_runtime.load`.
    """
    options = (
        click.option(
            "--backend", default=AUTO, show_default=True, type=click.Choice([AUTO, *BACKENDS])
        ),
        click.option(
            "--device", help="Where the backend runs it: cpu, cuda.  [default: its choice]"
        ),
        click.option(
            "--providers",
            metavar="P1,P2",
            type=ProvidersType(),
            help="ONNX Runtime's execution providers, best first.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            help="Threads per graph on the CPU.  [default: the backend's choice]",
        ),
    )
    return add_options(command, *options)
