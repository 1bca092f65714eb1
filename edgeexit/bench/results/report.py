"""The report of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.schema import SchemaError, decode

from edgeexit.bench.results.advice import Advice
from edgeexit.bench.results.backends import Backends
from edgeexit.bench.results.energy import Energy
from edgeexit.bench.results.explanation import Explanation
from edgeexit.bench.results.mixture import Mixture
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.results.scenarios import Scenarios
from edgeexit.bench.results.state import RunState
from edgeexit.bench.results.timings import PartTiming, PathTiming, WarmUp
from edgeexit.errors import DataError
from edgeexit.files import read_json
from edgeexit.statistics.drift import Drift

SCHEMA_VERSION = 3


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """The measured bundle; ``guarantee`` is the manifest's statement about its thresholds."""

    folder: str
    backbone: str
    branches: str
    num_classes: int
    precision: str
    input_size: tuple[int, int, int]
    thresholds: dict[str, float]
    versions: dict[str, str]
    guarantee: Guarantee | None = None

    @property
    def label(self) -> str:
        """A short name for tables and pictures."""
        return f"{self.backbone} {self.branches} {self.precision}"


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """The device it was measured on; ``threads`` is None if the backend chose the number."""

    cpu: str
    cores: int
    system: str
    backend_device: str
    threads: int | None
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All results of one benchmark, at batch size 1. All times are in milliseconds.

    Attributes:
        warm_up: before the paths.
        drifts: of the baseline, in each measurement that was long enough to determine it.
        parts: stages and branches in the order of execution.
        baseline: the plain backbone; its ratios are 1.
        paths: every exit, forced, in order.
        mixture: None if no images were given.
        scenarios: None if none was requested.
        explanation: why measured ratios differ from Eq. 5's; None if it was not requested.
        advice: None if no images with labels were given, or there is nothing to choose.
        no_advice: the reason, in that case.
        energy: of the candidates, or why it was not measured.
        state: clocks, temperatures and throttling.
        backends: others beside the measured one; None if none was requested.
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
    backends: Backends | None = None


def load_report(file: str | Path) -> BenchReport:
    """Read a report that was written with ``--json``.

    Raises:
        DataError: the file is missing, not a report, or of another schema version.
    """
    file = Path(file)
    try:
        value = read_json(file)
    except ValueError as error:
        raise DataError(f"{file}: {error}; expected a file of --json") from error
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
