"""What a benchmark found, as data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from edgeexit_runtime.schema import SchemaError, decode
from edgeexit_runtime.timing import LatencySummary

from edgeexit.bench.advice import Advice
from edgeexit.bench.energy import Energy
from edgeexit.bench.explanation import Explanation
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.scenarios import SCENARIOS, Scenarios
from edgeexit.bench.state import RunState
from edgeexit.errors import DataError, InputError
from edgeexit.statistics.drift import Drift

__all__ = [
    "BenchOptions",
    "BenchReport",
    "BundleInfo",
    "DeviceInfo",
    "PartTiming",
    "PathTiming",
    "WarmUp",
    "load_report",
]

SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to measure.

    Attributes:
        backend, providers, threads: as :func:`edgeexit_runtime.load` takes them.
        rounds: how often each part and path has its turn, at most.
        duration_s: no round starts after this many seconds of each measurement (parts and paths;
            mixture; each scenario), but 10 rounds or one pass over the images are always made.
        warm_up_s: untimed rounds go on until the device is at its speed, for this many seconds at
            most and 10 rounds at least.
        seed: of the order within each round, of the images, and of arrivals.
        versus: another bundle's folder or an ONNX file to compare with; None for none.
        scenarios: names of :data:`edgeexit.bench.scenarios.SCENARIOS`.
        qps: arrivals per second of the server scenario; None leaves it out.
        explain: whether to measure what explains the paths' times too.
    """

    backend: str = "auto"
    providers: tuple[str, ...] | None = None
    threads: int | None = None
    rounds: int = 100
    duration_s: float = 10.0
    warm_up_s: float = 10.0
    seed: int = 0
    versus: str | None = None
    scenarios: tuple[str, ...] = ()
    qps: float | None = None
    explain: bool = True

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"rounds: expected 1 or more, got {self.rounds}")
        if not self.duration_s > 0:
            raise InputError(f"duration: expected seconds above 0, got {self.duration_s}")
        if self.seed < 0:
            raise InputError(f"seed: expected 0 or more, got {self.seed}")
        if not self.warm_up_s >= 0:
            raise InputError(f"warm-up: expected 0 seconds or more, got {self.warm_up_s}")
        for name in self.scenarios:
            if name not in SCENARIOS:
                raise InputError(f"scenario: expected {', '.join(SCENARIOS)} or all, got {name!r}")
        if self.qps is not None and not 0 < self.qps < math.inf:
            raise InputError(f"qps: expected arrivals per second above 0, got {self.qps}")


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """Which bundle was measured."""

    folder: str
    backbone: str
    branches: str
    num_classes: int
    precision: str
    input_size: tuple[int, int, int]
    thresholds: dict[str, float]
    versions: dict[str, str]

    @property
    def label(self) -> str:
        """A short name for tables and pictures."""
        return f"{self.backbone} {self.branches} {self.precision}"


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What it was measured on. ``threads`` is None where the backend chose their number."""

    cpu: str
    cores: int
    system: str
    backend_device: str
    threads: int | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The untimed rounds before a measurement.

    Attributes:
        seconds: how long they took.
        rounds: how many they were.
        stable: whether the last two windows agreed; False where time was over before.
        window_medians_ms: of the rounds of each window.
    """

    seconds: float
    rounds: int
    stable: bool
    window_medians_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PartTiming:
    """One stage or branch alone; ``kind`` is one of these two words. A time for each call."""

    name: str
    kind: str
    macs: int
    latency: LatencySummary
    times_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.times_ms:
            raise ValueError("times_ms: expected one for each call, got none")


@dataclass(frozen=True, slots=True)
class PathTiming:
    """All that a sample goes through that leaves at one exit, forced to, or the plain backbone.

    Attributes:
        path_macs: the bracket of Eq. 5 for this exit, MACs per sample.
        ratio: median over the plain backbone's median in the same rounds.
        macs_ratio: what Eq. 5 says of it: path MACs over the plain backbone's.
        times_ms: of each call.
    """

    name: str
    path_macs: int
    ratio: float
    macs_ratio: float
    latency: LatencySummary
    times_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Everything that one benchmark found, at batch size 1. All times are in milliseconds.

    Attributes:
        warm_up: before the paths.
        drifts: of the baseline, in each measurement that was long enough to tell.
        parts: stages and branches in the order of execution.
        baseline: the plain backbone; its ratios are 1.
        paths: every exit, forced, in order.
        mixture: None where no images were given.
        scenarios: None where none was asked for.
        explanation: why measured ratios are not Eq. 5's; None where it was not asked for.
        advice: None where no images with labels were given, or there is nothing to choose.
        no_advice: why, then.
        energy: what the candidates take, or why that is not known.
        state: clocks, temperatures and throttling.
    """

    bundle: BundleInfo
    device: DeviceInfo
    options: BenchOptions
    warm_up: WarmUp
    drifts: tuple[Drift, ...]
    parts: tuple[PartTiming, ...]
    baseline: PathTiming
    paths: tuple[PathTiming, ...]
    mixture: Mixture | None
    scenarios: Scenarios | None
    explanation: Explanation | None
    advice: Advice | None
    no_advice: str | None
    energy: Energy
    state: RunState


def load_report(file: Path) -> BenchReport:
    """Read a report that was written with ``--json``.

    Raises:
        DataError: the file is missing, no report, or of a newer edgeexit.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as JSON; expected a file of --json") from error
    version = value.pop("schema_version", None) if isinstance(value, dict) else None
    if not isinstance(version, int):
        raise DataError(f"{file}: not a report of 'edgeexit bench' (no schema_version)")
    if "paths" not in value:  # a manifest has a version as well
        raise DataError(
            f"{file}: not a report of 'edgeexit bench' (no paths); expected a file of --json"
        )
    if version != SCHEMA_VERSION:
        made, do = (
            ("a newer", "upgrade edgeexit")
            if version > SCHEMA_VERSION
            else ("an older", "run the benchmark again")
        )
        raise DataError(
            f"{file}: made by {made} edgeexit (schema {version}, this reads {SCHEMA_VERSION}); {do}"
        )
    fields = {key: item for key, item in value.items() if key not in ("batch_size", "verdict")}
    try:
        return decode(BenchReport, fields)
    except SchemaError as error:
        raise DataError(f"{file}: {error}; run the benchmark again") from error
