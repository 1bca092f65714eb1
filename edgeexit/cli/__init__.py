"""The command line. There is one file per command; a command imports torch only when it runs."""

from __future__ import annotations

import importlib
from typing import Any

import click
from edgeexit_runtime.backends import install_hint
from edgeexit_runtime.command_line import guarded_streams
from edgeexit_runtime.errors import printable
from edgeexit_runtime.system.signals import StopSignals

from edgeexit.errors import EdgeExitError, UnknownNameError

__all__ = ["main"]

COMMANDS = {
    name: f"{package}.{name}"
    for package, names in (
        (
            "edgeexit.cli",
            "demo plan train eval compare tune export split pack triton build bench predict serve",
        ),
        ("edgeexit.paper.cli", "figures consistency"),
        ("edgeexit.cli", "flops models inspect"),
    )
    for name in names.split()
}


class _Explained(click.ClickException):
    """An error that click shows as one line, with its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click types it as a ClassVar


class LazyGroup(click.Group):
    """A group that imports a command's file on use, and shows errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            raise click.UsageError(str(UnknownNameError("command", cmd_name, COMMANDS)), ctx)
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command

    def main(self, *args: Any, **options: Any) -> Any:
        with guarded_streams():
            return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> object:
        with StopSignals() as stop:
            try:
                return super().invoke(ctx)
            except EdgeExitError as error:
                code = error.exit_code if stop.received is None else stop.exit_code
                raise _Explained(str(error), code) from error
            except (Exception, KeyboardInterrupt) as error:
                # errors after a signal are its consequences, such as workers that got it too
                if stop.received is not None or isinstance(error, KeyboardInterrupt):
                    message = f"{stop.cause}; no file is half-written"
                    raise _Explained(message, stop.exit_code) from error
                if isinstance(error, ModuleNotFoundError):
                    raise click.ClickException(_missing_module(error)) from error
                if _is_out_of_memory(error):
                    reason = printable(str(error) or "no more", 160)
                    raise click.ClickException(
                        f"out of memory ({reason}): choose smaller images or batches, where the "
                        "command has options for them, or a machine with more memory"
                    ) from error
                raise


def _missing_module(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    install = install_hint(module)
    if install is None:
        raise error
    return f"{module} is not installed: {install}"


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch has errors of its own for it, and is not imported here."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeexit")
def main() -> None:
    """Multi-exit image classifiers for edge devices: train, tune, export, benchmark.

    \b
    From images to a measured bundle:
      edgeexit train --backbone resnet20 --branches 3+1 --dataset digits
      edgeexit eval run/ckpt.pt
      edgeexit tune run/ckpt.pt --max-drop 0.01
      edgeexit export run/ckpt.tuned.pt --precision fp16
      edgeexit build --engine-dir out/
      edgeexit bench --engine-dir out/
      edgeexit predict --engine-dir out/ photos/
    """
