"""Options for the backend of a bundle, shared by several commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from edgeexit_runtime.backends import AUTO, BACKENDS

from edgeexit.cli.options import typed
from edgeexit.cli.options.shared import option_group, refuse

DEVICES = (AUTO, "cpu", "cuda")  # of checkpoints
OF_BUNDLES = ("backend", "providers", "threads")
OF_CHECKPOINTS = ("model", "outputs", "input_size", "batch_size")


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """Backend of a bundle: values of :data:`run_options`."""

    backend: str
    providers: tuple[str, ...] | None
    threads: int | None

    def chosen(self, device: str | None) -> dict[str, Any]:
        """Return arguments of :func:`edgeexit_runtime.load`; ``device`` is that of ``--device``."""
        return {
            "backend": self.backend,
            "providers": self.providers,
            "threads": self.threads,
            "device": None if device == AUTO else device,
        }

    @property
    def words(self) -> tuple[str, ...]:
        """The backend option for the suggested next command, if a backend was named."""
        return () if self.backend == AUTO else ("--backend", self.backend)


# for commands that also take checkpoints, and so have a --device already
run_options = option_group(
    click.option(
        "--backend", default=AUTO, show_default=True, type=click.Choice([AUTO, *BACKENDS])
    ),
    click.option(
        "--providers",
        metavar="P1,P2",
        type=typed.names,
        help="ONNX Runtime's execution providers, in order of preference.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(min=1),
        help="Threads per graph on the CPU.  [default: chosen by the backend]",
    ),
)
backend_options = option_group(
    run_options,
    click.option(
        "--device", help="Device of the backend: cpu, cuda.  [default: chosen by the backend]"
    ),
)


def check_options_of(path: Path | None, engine_dir: Path | None) -> None:
    """Refuse options that do not go with the given checkpoint or bundle."""
    if (path is None) == (engine_dir is None):
        got = "none" if path is None else "both"
        raise click.UsageError(f"expected a checkpoint CKPT or --engine-dir, got {got}")
    if engine_dir is not None:
        refuse(OF_CHECKPOINTS, "goes with a checkpoint")
        return
    refuse(OF_BUNDLES, "goes with --engine-dir")
    device = click.get_current_context().params["device"]
    if device not in DEVICES:
        raise click.UsageError(f"--device: expected one of {', '.join(DEVICES)}, got {device!r}")
