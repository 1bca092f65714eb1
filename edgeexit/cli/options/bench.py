"""Options of ``edgeexit bench``, except those of the backend, of images and of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from edgeexit_runtime.backends import BACKENDS

from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import BackendOptions
from edgeexit.cli.options.shared import option_group

if TYPE_CHECKING:
    from edgeexit.bench import BenchOptions

ALL = "all"


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """Values of :data:`backends_option`, :data:`compared_options` and :data:`length_options`."""

    backends: tuple[str, ...] | None
    versus: Path | None
    scenarios: tuple[str, ...] | None
    qps: float | None
    rounds: int
    duration: float
    warm_up: float
    seed: int

    def chosen(self, backend: BackendOptions, device: str | None) -> BenchOptions:
        """Return the options of :func:`edgeexit.bench.run_bench`."""
        from edgeexit.bench import BenchOptions

        asked = {*(self.scenarios or ())}
        return BenchOptions(
            **backend.chosen(device),
            backends=self.backends or (),
            rounds=self.rounds,
            duration_s=self.duration,
            warm_up_s=self.warm_up,
            seed=self.seed,
            versus=None if self.versus is None else str(self.versus),
            scenarios=tuple(name for name in _scenarios() if asked & {name, ALL}),
            qps=self.qps,
        )


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


backends_option = click.option(
    "--backends",
    metavar="B1,B2|all",
    type=_some_of(lambda: BACKENDS),
    help="Compare backends in the same run, and say which to load. onnxruntime:1 runs with one "
    "thread; all takes every backend that runs the bundle here, on the CPU also with one thread. "
    "All other figures are of --backend.",
)
compared_options = option_group(
    click.option(
        "--versus",
        type=click.Path(path_type=Path),
        help="Compare with another bundle, or a plain .onnx classifier: one input float32 "
        "(N,C,H,W), normalized like the bundle's, one output logits (N,K); same input size and "
        "classes. It may be the same network in another precision.",
    ),
    click.option(
        "--scenario",
        "scenarios",
        metavar="S1,S2|all",
        type=_some_of(_scenarios),
        help="MLPerf scenarios: single-stream, multi-stream (queries of 8 images), offline "
        "(images per second), or all.",
    ),
    click.option(
        "--qps",
        type=click.FloatRange(min=0, min_open=True),
        help="MLPerf server scenario: average queries per second, which arrive for --duration "
        "whether or not the last one is answered.",
    ),
)
length_options = option_group(
    click.option(
        "--rounds",
        default=100,
        show_default=True,
        type=click.IntRange(min=1),
        help="Maximum number of rounds, of 5 calls each, and of passes over the images.",
    ),
    click.option(
        "--duration",
        default=10.0,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True),
        help="Seconds after which no round or pass starts; at least 10 rounds and 1 pass are run.",
    ),
    click.option(
        "--warm-up",
        default=10.0,
        show_default=True,
        type=click.FloatRange(min=0),
        help="Maximum seconds of untimed rounds; they end when the device's speed is stable.",
    ),
    click.option(
        "--seed",
        default=0,
        show_default=True,
        type=click.IntRange(min=0),
        help="Seed of the choice and order of images, and of arrivals.",
    ),
)
details_option = click.option(
    "--details",
    is_flag=True,
    help="Also print stages and branches, roofline, every reason and the linear model; for "
    "--compare, all ratios. The page and the JSON always have them.",
)
saved_options = option_group(
    click.option(
        "--report",
        "report_file",
        type=click.Path(path_type=Path),
        help="Measure nothing: show a saved report of --json, also with --plot and --html.",
    ),
    click.option(
        "--compare",
        nargs=2,
        metavar="A.json B.json",
        type=click.Path(path_type=Path),
        help="Measure nothing: compare two saved reports of --json.",
    ),
)
