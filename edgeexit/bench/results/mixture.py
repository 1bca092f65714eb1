"""Real images one by one: every candidate's results, and the exits where images left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeexit_runtime.timing.calls import LatencySummary

from edgeexit.statistics import Interval
from edgeexit.statistics.percentiles import Percentile

BASELINE = "baseline"  # the bundle's plain backbone
EARLY_EXIT = "early_exit"  # the bundle at its own thresholds
EXIT_OFF = "exit_off"  # early exit with one exit switched off
VERSUS = "versus"  # another model
ISO_ACCURACY = "iso_accuracy"  # the bundle at thresholds as accurate as the other model
BACKEND = "backend"  # the bundle at its own thresholds on another backend
ROLES = (BASELINE, EARLY_EXIT, EXIT_OFF, VERSUS, ISO_ACCURACY, BACKEND)
COMPARED = (BASELINE, EARLY_EXIT, VERSUS, BACKEND)  # also measured in scenarios and for energy

PAYS, DOES_NOT_PAY, BREAKS_EVEN, NOT_KNOWN = "pays", "does not pay", "breaks even", "not known"
ONE_IMAGE = "one image"

BASELINE_NAME = "plain backbone"
EARLY_EXIT_NAME = "early exit"
ONE_BY_ONE = "images one by one"  # ``mixture`` in the JSON


def label(role: str, name: str) -> str:
    """Return a candidate's name in tables."""
    return {VERSUS: f"versus {name}", BACKEND: f"{EARLY_EXIT_NAME}, {name}"}.get(role, name)


@dataclass(frozen=True, slots=True)
class Run:
    """One candidate on all images, one by one.

    Attributes:
        role: one of :data:`ROLES`.
        name: of the candidate; of its file or folder for another model, of the backend for another
            backend.
        thresholds: it ran at; empty for a single graph.
        accuracy: fraction; None if the images have no labels.
        latency: of all its calls.
        percentiles: p50, p90 and p99 with their intervals.
        ratio: mean over the baseline's mean; its interval covers other images of the same kind
            and other rounds.
        times_ms: of each pass over the images, one time per image, in the order of the images.
        over_early_exit: for another backend, its mean over early exit's; else None.
        same_answers: for another backend, the share of the images to which it gives the same label
            at the same exit; else None.
    """

    role: str
    name: str
    thresholds: dict[str, float]
    accuracy: float | None
    latency: LatencySummary
    percentiles: tuple[Percentile, ...]
    ratio: Interval
    times_ms: tuple[tuple[float, ...], ...]
    over_early_exit: Interval | None = None
    same_answers: float | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role: expected one of {', '.join(ROLES)}, got {self.role!r}")

    @property
    def label(self) -> str:
        """The name in tables."""
        return label(self.role, self.name)


@dataclass(frozen=True, slots=True)
class MixtureExit:
    """The images that left at one exit, as a share of all; ``latency`` is None if none did.

    ``accuracy`` is of these images; None if there are none, or none with labels.
    ``threshold`` is None for the last exit.
    """

    name: str
    threshold: float | None
    share: float
    latency: LatencySummary | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Reached:
    """Early exit at thresholds that reach another model's accuracy, on the test half.

    Attributes:
        thresholds: the cheapest that reach it on the validation half.
        accuracy, mean_ms: at these thresholds.
        ratio: mean over the other model's.
        lost_accuracy: the other model's accuracy minus this one.
    """

    thresholds: dict[str, float]
    accuracy: float
    mean_ms: float
    ratio: Interval
    lost_accuracy: Interval

    @property
    def as_accurate(self) -> bool:
        """Whether it is as accurate, within the interval, on images not used for the choice."""
        return self.lost_accuracy.low <= 0


@dataclass(frozen=True, slots=True)
class IsoAccuracy:
    """Early exit and another model at the same accuracy.

    Attributes:
        validation_images, test_images: numbers of images in the half that thresholds are chosen
            on, and in the half that both models are evaluated on.
        target_accuracy: of the other model on the validation half.
        best_accuracy: the highest that any thresholds reach there.
        versus_accuracy, versus_mean_ms: of the other model on the test half.
        reached: None if no thresholds reach the target.
    """

    validation_images: int
    test_images: int
    target_accuracy: float
    best_accuracy: float
    versus_accuracy: float
    versus_mean_ms: float
    reached: Reached | None


@dataclass(frozen=True, slots=True)
class Mixture:
    """Real images one by one at the bundle's thresholds, and other candidates on the same images.

    Attributes:
        source: where the images came from.
        samples: N, the number of images.
        exits: one per exit in order.
        left_at: the 0-based exit of each image.
        macs_ratio: Eq. 5's average at these shares over the baseline's MACs.
        runs: of all candidates, in the same rounds; the baseline first, then early exit.
        over_versus: early exit's mean over the other model's, at the bundle's thresholds; None
            without another model.
        iso_accuracy: None without another model, or if accuracies could not be matched.
        no_iso_accuracy: the reason, in that case; None in older reports, which lack it.
    """

    source: str
    samples: int
    exits: tuple[MixtureExit, ...]
    left_at: tuple[int, ...]
    macs_ratio: float
    runs: tuple[Run, ...]
    over_versus: Interval | None = None
    iso_accuracy: IsoAccuracy | None = None
    no_iso_accuracy: str | None = None

    def __post_init__(self) -> None:
        if tuple(run.role for run in self.runs[:2]) != (BASELINE, EARLY_EXIT):
            roles = ", ".join(run.role for run in self.runs) or "none"
            raise ValueError(f"runs: expected {BASELINE}, then {EARLY_EXIT}, got {roles}")
        by_image: list[tuple[str, Sequence[float]]] = [("left_at", self.left_at)]
        by_image += [("times_ms", times_ms) for run in self.runs for times_ms in run.times_ms]
        for name, values in by_image:
            if len(values) != self.samples:
                raise ValueError(
                    f"{name}: expected one for each of {self.samples} images, got {len(values)}"
                )

    @property
    def baseline(self) -> Run:
        """The bundle's plain backbone."""
        return self.runs[0]

    @property
    def early_exit(self) -> Run:
        """The bundle at its own thresholds."""
        return self.runs[1]

    @property
    def outcome(self) -> str:
        """Whether early exit pays: :data:`PAYS`, ..., or :data:`NOT_KNOWN` within the noise.

        :data:`ONE_IMAGE` says nothing of others, however often it was run.
        """
        if self.samples == 1:
            return ONE_IMAGE
        ratio = self.early_exit.ratio
        if ratio.is_faster:
            return PAYS
        if ratio.is_slower:
            return DOES_NOT_PAY
        return BREAKS_EVEN if ratio.is_break_even else NOT_KNOWN

    @property
    def above_eq5(self) -> float:
        """By how much early exit's ratio exceeds Eq. 5's, 0.1 for 10 %."""
        return self.early_exit.ratio.value / self.macs_ratio - 1

    @property
    def images_at(self) -> tuple[int, ...]:
        """How many images left at each exit."""
        return tuple(map(self.left_at.count, range(len(self.exits))))

    @property
    def versus(self) -> Run | None:
        """The run of another model; None if none was named."""
        return next((run for run in self.runs if run.role == VERSUS), None)
