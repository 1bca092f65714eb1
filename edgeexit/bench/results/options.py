"""How a benchmark measures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgeexit.bench.results.backends import BackendChoice
from edgeexit.bench.results.scenarios import SCENARIOS
from edgeexit.errors import InputError

ALL = "all"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How to measure.

    Attributes:
        backend, providers, threads, device: as :func:`edgeexit_runtime.load` takes them.
        backends: names of backends to compare, each with its number of threads behind a colon
            where it is not ``threads``; or :data:`ALL` for every one that runs the bundle here,
            on the CPU with one thread too unless ``threads`` says how many. None leaves it at
            ``backend``.
        rounds: how often each part and path has its turn, at most.
        duration_s: no round starts after this many seconds of each measurement (parts and paths;
            mixture; each scenario), but 10 rounds or one pass over the images are always made.
        warm_up_s: untimed rounds go on until the device is at its speed, for this many seconds at
            most and 10 rounds at least.
        seed: of the order within each round, of the images, and of arrivals.
        versus: another bundle's folder or an ONNX file to compare with; None for none.
        scenarios: names of :data:`edgeexit.bench.results.scenarios.SCENARIOS`.
        qps: arrivals per second of the server scenario; None leaves it out.
        explain: whether to measure what explains the paths' times too.
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
        """Return how :func:`edgeexit_runtime.load` is called for one of the backends."""
        return {
            "backend": choice.backend,
            "providers": self.providers,
            "threads": self.threads if choice.threads is None else choice.threads,
            "device": self.device,
        }
