"""One bundle on several backends of this device: the times of each, and which is the fastest."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.results.timings import PathTiming
from edgeexit.errors import InputError
from edgeexit.statistics import Interval


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend to compare: ``onnxruntime``, or ``onnxruntime:1`` with a number of threads.

    Attributes:
        backend: its name.
        threads: per graph on the CPU; None for ``--threads`` or else the backend's own choice.
    """

    backend: str
    threads: int | None = None

    @classmethod
    def parse(cls, text: str) -> BackendChoice:
        """Return the choice whose :attr:`name` is ``text``.

        Raises:
            InputError: the number of threads is not a positive integer.
        """
        backend, colon, threads = text.partition(":")
        if not colon:
            return cls(backend)
        if not threads.isdecimal() or not int(threads):
            raise InputError(f"backends: expected threads above 0, as in {backend}:1, got {text!r}")
        return cls(backend, int(threads))

    @property
    def name(self) -> str:
        """The text it was parsed from; its name in reports."""
        return self.backend if self.threads is None else f"{self.backend}:{self.threads}"


@dataclass(frozen=True, slots=True)
class BackendPaths:
    """The exit paths of a bundle on one backend, timed in the same rounds as the measured one.

    Attributes:
        name: of the backend; all backend names here are :attr:`BackendChoice.name`.
        device: it runs on.
        computed_in: the precisions in which the backend really computes convolutions and matrix
            products; "" if it does not report them.
        baseline: the plain backbone there; ratios are to the measured backend's plain backbone.
        paths: every exit, forced.
        over_measured: for the plain backbone and every path, the ratio of the median to the
            measured backend's.
    """

    name: str
    device: str
    computed_in: str
    baseline: PathTiming
    paths: tuple[PathTiming, ...]
    over_measured: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A backend that did not run, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fastest:
    """The two fastest backends for early exit or for one exit path.

    Attributes:
        what: ``early exit`` on the images, or the name of an exit path.
        name, next_name: of the fastest backend and the next.
        time_ms, next_ms: means of early exit, medians of a path.
        ratio: of the fastest to the next.
    """

    what: str
    name: str
    next_name: str
    time_ms: float
    next_ms: float
    ratio: Interval


@dataclass(frozen=True, slots=True)
class Backends:
    """The compared backends.

    Attributes:
        measured: the one that all other figures of the report were measured on.
        auto: the one that ``backend="auto"`` selects for this bundle with these options.
        others: the other backends that ran.
        left_out: backends that cannot run the bundle here.
        fastest: for early exit on the images; without images, for each exit path.
    """

    measured: str
    auto: str
    others: tuple[BackendPaths, ...]
    left_out: tuple[LeftOut, ...]
    fastest: tuple[Fastest, ...]
