"""``python -m edgeexit_runtime``: commands for a device that has only the runtime.

``build out/`` builds engines, ``serve out/`` answers requests, and
``time out/ other/ -o times.json`` times exit paths.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.backends.tensorrt.library import AUTO, LIBRARIES
from edgeexit_runtime.bundle.engine_entry import (
    HARDWARE_COMPATIBILITY,
    OPTIMIZATION_LEVELS,
    EngineOptions,
)
from edgeexit_runtime.command_line import guarded_streams
from edgeexit_runtime.engines.building import build_engines, describe
from edgeexit_runtime.errors import EdgeExitError
from edgeexit_runtime.gate import as_number
from edgeexit_runtime.progress import Progress
from edgeexit_runtime.serving import serve
from edgeexit_runtime.serving.options import ServeOptions
from edgeexit_runtime.system.signals import StopSignals
from edgeexit_runtime.timing.paths import describe_times, time_bundles, write_times

OPTIONAL: dict[str, Callable[[str], Any]] = {
    "threads": int,
    "device": str,
    "deadline_ms": float,
    "providers": lambda s: s.split(","),
}
"""Types of the service's options whose default is None."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    values = vars(_parser().parse_args(arguments))
    run: Callable[..., Iterable[str]] = values.pop("run")
    with StopSignals() as stop:
        try:
            lines = run(**values)
        except EdgeExitError as error:
            return _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            return _fail(f"{stop.cause}; engines and manifest are as they were", stop.exit_code)
    _clear()
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _serve(folder: Path, **options: Any) -> Iterable[str]:
    serve(folder, ServeOptions(**options))
    return ()


def _build(
    folder: str, library: str, compute_capability: str | None, rebuild: bool, **options: Any
) -> Iterable[str]:
    report = build_engines(
        folder,
        EngineOptions(**options),
        library=library,
        compute_capability=compute_capability,
        rebuild=rebuild,
        progress=_progress(),
    )
    return describe(report)


def _above_0(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    value = as_number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return value


def _time(folders: Sequence[Path], output: Path, duration: float, **options: Any) -> Iterable[str]:
    times = time_bundles(folders, duration_s=duration, progress=_progress(), **options)
    write_times(output, times)
    return (*describe_times(times), f"wrote {output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m edgeexit_runtime", description="Run multi-exit bundles made by edgeexit."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser(
        "build",
        help="build the TensorRT engines of a bundle",
        description="Build the TensorRT engines of a bundle on the device that will run them. "
        "Engines that still fit are kept.",
    )
    build.add_argument("folder", metavar="BUNDLE", help="the folder that 'edgeexit export' wrote")
    build.add_argument("--library", default=AUTO, choices=(AUTO, *LIBRARIES))
    build.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="with TensorRT-RTX: GPUs to build for, such as 8.0 (8.6, 8.9 and 12.0)",
    )
    build.add_argument("--rebuild", action="store_true", help="build all, even those that fit")
    build.add_argument(
        "--opt-batch", type=_above_0, default=1, help="batch size that kernels are chosen for (1)"
    )
    build.add_argument(
        "--workspace",
        type=_above_0,
        dest="workspace_mib",
        metavar="MIB",
        help="limit on scratch memory",
    )
    build.add_argument(
        "--optimization-level",
        type=int,
        default=3,
        choices=OPTIMIZATION_LEVELS,
        help="0 builds fastest, 5 searches longest (3)",
    )
    build.add_argument(
        "--version-compatible", action="store_true", help="also runs in later versions of TensorRT"
    )
    build.add_argument(
        "--hardware-compatibility",
        default="none",
        choices=HARDWARE_COMPATIBILITY,
        help="also runs on other GPUs (none)",
    )
    build.add_argument(
        "--tf32", action="store_true", help="FP32 layers may multiply with a mantissa of 10 bits"
    )
    build.set_defaults(run=_build)
    serve = commands.add_parser(
        "serve",
        help="answer requests over HTTP",
        description="Serve a bundle over the Open Inference Protocol, and image files at /predict.",
    )
    serve.add_argument("folder", type=Path, help="the bundle")
    for name, default in asdict(ServeOptions()).items():
        kind: Callable[[str], Any] = OPTIONAL.get(name) or type(default)
        serve.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    serve.set_defaults(run=_serve)
    _add_time(commands)
    return parser


def _add_time(commands: Any) -> None:
    command = commands.add_parser(
        "time",
        help="time the exit paths of bundles",
        description="Time the plain backbone and every exit path of bundles, interleaved, at "
        "batch 1. 'edgeexit plan --times' reads the output.",
    )
    command.set_defaults(run=_time)
    command.add_argument("folders", metavar="BUNDLE", nargs="+", type=Path)
    command.add_argument("-o", "--output", type=Path, default=Path("times.json"), metavar="FILE")
    command.add_argument("--backend", default=AUTO, choices=(AUTO, *BACKENDS))
    command.add_argument("--device", help="device that the backend runs on")
    command.add_argument("--threads", type=int, help="threads per graph on the CPU")
    command.add_argument(
        "--duration",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="at most, but at least 10 rounds; 100 rounds end it sooner (20)",
    )


def _progress() -> Progress:
    """Return a callback: one line, overwritten, on a terminal; one line per engine in a log."""
    terminal = sys.stderr.isatty()
    started = set()

    def show(step: str, done: float) -> None:
        if terminal:
            sys.stderr.write(f"\r\x1b[K{done:4.0%}  {step}")
            sys.stderr.flush()
        elif ":" in step and (name := step.partition(":")[0]) not in started:
            started.add(name)
            sys.stderr.write(f"{done:4.0%}  {name}\n")

    return show


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _fail(message: str, code: int) -> int:
    _clear()
    sys.stderr.write(f"Error: {message}\n")
    return code


if __name__ == "__main__":
    with guarded_streams():
        sys.exit(main())
