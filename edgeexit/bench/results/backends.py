"""One bundle on several backends of this device: what each takes, and which is the fastest."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.bench.results.timings import PathTiming
from edgeexit.errors import InputError
from edgeexit.statistics import BREAK_EVEN, Interval


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend as it is compared: ``onnxruntime``, or ``onnxruntime:1`` with that many threads.

    Attributes:
        backend: its name.
        threads: per graph on the CPU; None for the backend's choice, or the one of ``--threads``.
    """

    backend: str
    threads: int | None = None

    @classmethod
    def parse(cls, text: str) -> BackendChoice:
        """Return the choice that :attr:`name` gives.

        Raises:
            InputError: the threads are no number above 0.
        """
        backend, colon, threads = text.partition(":")
        if not colon:
            return cls(backend)
        if not threads.isdecimal() or not int(threads):
            raise InputError(f"backends: expected threads above 0, as in {backend}:1, got {text!r}")
        return cls(backend, int(threads))

    @property
    def name(self) -> str:
        """The text that it was parsed from, by which it is known in reports."""
        return self.backend if self.threads is None else f"{self.backend}:{self.threads}"

    @property
    def arguments(self) -> str:
        """What :func:`edgeexit_runtime.load` is given for it."""
        threads = "" if self.threads is None else f", threads={self.threads}"
        return f'backend="{self.backend}"{threads}'

    @property
    def options(self) -> str:
        """What a command line is given for it."""
        threads = "" if self.threads is None else f" --threads {self.threads}"
        return f"--backend {self.backend}{threads}"


@dataclass(frozen=True, slots=True)
class BackendPaths:
    """The exit paths of a bundle on one backend, in the same rounds as the measured one's.

    Attributes:
        name: of the backend, as all names here: :attr:`BackendChoice.name`.
        device: what it runs on.
        computed_in: what convolutions and products really became there; "" where it does not tell.
        baseline: the plain backbone there; ratios are to the measured backend's plain backbone.
        paths: every exit, forced.
        over_measured: of the plain backbone and every path, the median over the measured backend's.
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
    """The two fastest backends in one thing.

    Attributes:
        what: ``early exit`` on the images, or an exit path.
        name, next_name: of the backends.
        time_ms, next_ms: means of early exit, medians of a path.
        ratio: of the fastest to the next.
    """

    what: str
    name: str
    next_name: str
    time_ms: float
    next_ms: float
    ratio: Interval

    @property
    def is_break_even(self) -> bool:
        """Whether both take the same, as far as two runs do."""
        return self.ratio.is_above(1 - BREAK_EVEN) and self.ratio.is_below(1 + BREAK_EVEN)


@dataclass(frozen=True, slots=True)
class Backends:
    """What backends were compared.

    Attributes:
        measured: the one that everything else in the report is of.
        auto: the one that ``backend="auto"`` takes for this bundle, with these options.
        others: that ran beside it.
        left_out: that could not.
        fastest: in early exit on the images; without images, in each exit path.
    """

    measured: str
    auto: str
    others: tuple[BackendPaths, ...]
    left_out: tuple[LeftOut, ...]
    fastest: tuple[Fastest, ...]
