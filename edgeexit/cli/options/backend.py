"""Options for the backend of a bundle, shared by several commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from edgeexit_runtime.backends import AUTO, BACKENDS
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME

from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import option
from edgeexit.cli.options.shared import AT_LEAST_1, DEVICES, refuse
from edgeexit.formats import format_command

OF_BUNDLES = ("backend", "providers", "threads")
OF_CHECKPOINTS = (
    *("model", "outputs", "weights_key", "new_classifier", "input_size", "mean", "std", "resize"),
    "batch_size",
)


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """Backend of a bundle, for commands that also take checkpoints and have a ``--device``."""

    backend: str = option(None, default=AUTO, type=click.Choice([AUTO, *BACKENDS]))
    providers: tuple[str, ...] | None = option(
        "ONNX Runtime's execution providers, in order of preference.",
        metavar="P1,P2",
        type=typed.names,
    )
    threads: int | None = option(
        "Threads per graph on the CPU.  [default: chosen by the backend]", type=AT_LEAST_1
    )

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


@dataclass(frozen=True, slots=True)
class BundleBackendOptions(BackendOptions):
    """Backend of a bundle, and its device."""

    device: str | None = option(
        "Device of the backend: cpu, cuda.  [default: chosen by the backend]"
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of :func:`edgeexit_runtime.load`."""
        return self.chosen(self.device)


def check_options_of(path: Path | None, engine_dir: Path | None) -> None:
    """Refuse options that do not go with the given checkpoint or bundle."""
    if (path is None) == (engine_dir is None):
        got = "none" if path is None else "both"
        raise click.UsageError(f"expected a checkpoint CKPT or --engine-dir, got {got}")
    if engine_dir is not None:
        refuse(OF_CHECKPOINTS, "goes with a checkpoint")
        return
    context = click.get_current_context()
    if path is not None and (path / MANIFEST_NAME).exists():
        command = format_command(str(context.info_name), "--engine-dir", path)
        raise click.UsageError(f"{path} is a bundle, which is given so: {command}")
    refuse(OF_BUNDLES, "goes with --engine-dir")
    device = context.params["device"]
    if device not in DEVICES:
        raise click.UsageError(f"--device: expected one of {', '.join(DEVICES)}, got {device!r}")
