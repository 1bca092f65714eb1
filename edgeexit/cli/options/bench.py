"""Options of ``edgeexit bench``, except those of the backend, of images and of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgeexit_runtime.backends import BACKENDS

from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import BundleBackendOptions
from edgeexit.cli.options.fields import PATH, option
from edgeexit.cli.options.shared import ABOVE_0, AT_LEAST_0, AT_LEAST_1

if TYPE_CHECKING:
    from edgeexit.bench import BenchOptions

ALL = "all"


def _scenarios() -> tuple[str, ...]:
    from edgeexit.bench.results.scenarios import SCENARIOS

    return SCENARIOS


def _some_of(known: Callable[[], Iterable[str]]) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of a list of known names, ``single-stream,offline``, or ``all``.

    Text after a colon in a name is passed on unchecked.
    """

    def read(text: str) -> tuple[str, ...]:
        names, possible = typed.names(text), tuple(known())
        for name in names:
            if name.partition(":")[0] not in possible and name != ALL:
                raise click.BadParameter(f"expected {', '.join(possible)} or {ALL}, got {name!r}")
        return (ALL,) if ALL in names else names

    return read


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What a benchmark measures, for how long."""

    backends: tuple[str, ...] | None = option(
        "Compare backends in the same run, and say which to load. onnxruntime:1 runs with one "
        "thread; all takes every backend that runs the bundle here, on the CPU also with one "
        "thread. All other figures are of --backend.",
        metavar="B1,B2|all",
        type=_some_of(lambda: BACKENDS),
    )
    versus: Path | None = option(
        "Compare with another bundle, or a plain .onnx classifier: one input float32 "
        "(N,C,H,W), normalized like the bundle's, one output logits (N,K); same input size and "
        "classes. It may be the same network in another precision.",
        type=PATH,
    )
    scenario: tuple[str, ...] | None = option(
        "MLPerf scenarios: single-stream, multi-stream (queries of 8 images), offline "
        "(images per second), or all.",
        metavar="S1,S2|all",
        type=_some_of(_scenarios),
    )
    qps: float | None = option(
        "MLPerf server scenario: average queries per second, which arrive for --duration "
        "whether or not the last one is answered.",
        type=ABOVE_0,
    )
    rounds: int = option(
        "Maximum number of rounds, of 5 calls each, and of passes over the images.",
        section="Length and seed",
        default=100,
        type=AT_LEAST_1,
    )
    duration: float = option(
        "Seconds after which no round or pass starts; at least 10 rounds and 1 pass are run.",
        default=10.0,
        type=ABOVE_0,
    )
    warm_up: float = option(
        "Maximum seconds of untimed rounds; they end when the device's speed is stable.",
        default=10.0,
        type=click.FloatRange(min=0),
    )
    seed: int = option(
        "Seed of the choice and order of images, and of arrivals.", default=0, type=AT_LEAST_0
    )

    def chosen(self, backend: BundleBackendOptions) -> BenchOptions:
        """Return the options of :func:`edgeexit.bench.run_bench`."""
        from edgeexit.bench import BenchOptions

        asked = {*(self.scenario or ())}
        return BenchOptions(
            **backend.arguments,
            backends=self.backends or (),
            rounds=self.rounds,
            duration_s=self.duration,
            warm_up_s=self.warm_up,
            seed=self.seed,
            versus=None if self.versus is None else str(self.versus),
            scenarios=tuple(name for name in _scenarios() if asked & {name, ALL}),
            qps=self.qps,
        )


@dataclass(frozen=True, slots=True)
class SavedOptions:
    """Saved reports to show instead of measuring."""

    report: Path | None = option(
        "Measure nothing: show a saved report of --json, also with --plot and --html.", type=PATH
    )
    compare: tuple[Path, Path] | None = option(
        "Measure nothing: compare two saved reports of --json.",
        nargs=2,
        metavar="A.json B.json",
        type=PATH,
    )
