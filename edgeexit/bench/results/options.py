"""Options of a benchmark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends import AUTO

from edgeexit.bench.results.backends import BackendChoice
from edgeexit.bench.results.scenarios import SCENARIOS
from edgeexit.errors import InputError

ALL = "all"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """Options of a benchmark.

    Attributes:
        backend, providers, threads, device: arguments of :func:`edgeexit_runtime.load`.
        backends: names of backends to compare, with ``:`` and a number of threads where it is not
            ``threads``; or :data:`ALL` for every backend that runs the bundle here, on the CPU
            also with one thread unless ``threads`` is given. Empty measures only ``backend``.
        rounds: maximum number of rounds, in which each part and path is timed once.
        duration_s: no round starts after this many seconds of each measurement (parts and paths;
            mixture; each scenario), but at least 10 rounds or one pass over the images are run.
        warm_up_s: untimed rounds run until the device's speed is stable, for at most this many
            seconds and at least 10 rounds.
        seed: of the order within each round, of the images, and of arrivals.
        versus: another bundle's folder or an ONNX file to compare with; None for none.
        scenarios: names from :data:`edgeexit.bench.results.scenarios.SCENARIOS`.
        qps: arrivals per second of the server scenario; None omits the scenario.
        explain: whether to also measure what explains the paths' times.
    """

    backend: str = "auto"
    backends: tuple[str, ...] = ()
    providers: tuple[str, ...] | None = None
    threads: int | None = None
    device: str | None = None
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

    def loading(self, choice: BackendChoice) -> dict[str, Any]:
        """Return the arguments of :func:`edgeexit_runtime.load` for one of the backends."""
        return {
            "backend": choice.backend,
            "providers": self.providers,
            "threads": self.threads if choice.threads is None else choice.threads,
            "device": self.device,
        }

    def words(self, choice: BackendChoice) -> list[str]:
        """Return the command-line options that select one of the backends."""
        found: list[str] = []
        for name, value in self.loading(choice).items():
            if value is not None and value != AUTO:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                found += [f"--{name}", text]
        return found
