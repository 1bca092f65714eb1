"""Energy of each candidate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnergySensor:
    """A sensor that was read.

    Attributes:
        kind: ``INA3221``, ``RAPL`` or ``NVML``.
        name: of the rail, power zone or GPU, as the system names it.
        source: the file or function that it is read through.
    """

    kind: str
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class EnergyTurn:
    """Raw readings of one turn of about a second, summed over all sensors.

    ``samples`` is 0 for a turn of the idle device.
    """

    seconds: float
    joules: float
    samples: int


@dataclass(frozen=True, slots=True)
class EnergyRun:
    """One candidate on one image at a time.

    Attributes:
        name: of the candidate, for tables.
        power_w: mean over its turns, of everything that the sensors measure.
        sample_j: joules per sample, median over the turns.
        sample_min_j, sample_max_j: lowest and highest turn.
        above_idle_j: joules per sample above the idle device's in the same time; median.
        turns: raw.
    """

    name: str
    power_w: float
    sample_j: float
    sample_min_j: float
    sample_max_j: float
    above_idle_j: float
    turns: tuple[EnergyTurn, ...]


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of the candidates, or why there is none.

    Attributes:
        sensors: whose readings are added up; empty if none can be read.
        notes: what could not be read and what to do, one sentence each.
        source: where the images came from.
        idle_w: median power of the idle device in the same run; None without a sensor.
        idle_turns: raw.
        runs: one per candidate; empty without a sensor.
    """

    sensors: tuple[EnergySensor, ...]
    notes: tuple[str, ...]
    source: str
    idle_w: float | None
    idle_turns: tuple[EnergyTurn, ...]
    runs: tuple[EnergyRun, ...]
