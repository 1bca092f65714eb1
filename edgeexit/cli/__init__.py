"""The command line. One file per command; a command imports torch only when it runs."""

from __future__ import annotations

import importlib
from typing import Any

import click
from edgeexit_runtime.command_line import guarded_streams

from edgeexit.errors import EdgeExitError, UnknownNameError

__all__ = ["main"]

COMMANDS = {
    name: f"{package}.{name}"
    for package, names in (
        ("edgeexit.cli", "demo train eval compare tune export build bench predict"),
        ("edgeexit.paper.cli", "figures consistency"),
        ("edgeexit.cli", "flops models inspect"),
    )
    for name in names.split()
}


class _InterruptedError(EdgeExitError):
    """Ctrl-C, with the exit code that shells give it."""

    exit_code = 130


class _Explained(click.ClickException):
    """One of edgeexit's own errors, as click shows it: one line and its exit code."""

    def __init__(self, error: EdgeExitError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]  # click types it as a ClassVar


class LazyGroup(click.Group):
    """A group that imports a command's file when it is named, and explains errors in one line."""

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
        try:
            return super().invoke(ctx)
        except EdgeExitError as error:
            raise _Explained(error) from error
        except KeyboardInterrupt as error:
            raise _Explained(_InterruptedError("interrupted; no file is half-written")) from error
        except ModuleNotFoundError as error:
            raise click.ClickException(_missing_module(error)) from error


def _missing_module(error: ModuleNotFoundError) -> str:
    if (error.name or "").partition(".")[0] != "onnxruntime":
        raise error
    return (
        "onnxruntime is not installed: pip install 'edgeexit-runtime[cpu]' (or [gpu]; never both)"
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeexit")
def main() -> None:
    """Multi-exit image classifiers for edge devices: train, tune, export, benchmark.

    \b
    The way of a network, from images to a measured bundle:
      edgeexit train --backbone resnet20 --branches 3+1 --dataset digits
      edgeexit eval run/ckpt.pt
      edgeexit tune run/ckpt.pt --max-drop 0.01
      edgeexit export run/ckpt.tuned.pt --precision fp16
      edgeexit build --engine-dir out/
      edgeexit bench --engine-dir out/
      edgeexit predict --engine-dir out/ photos/
    """
