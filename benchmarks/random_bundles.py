"""Bundles of networks with random weights, and thresholds that make images leave as wanted.

Times do not depend on the weights: thresholds force where an image leaves.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime import Session
from edgeexit_runtime.timing.paths import LEAVE, PASS, forcing
from numpy.typing import NDArray

from edgeexit.models import ModelSpec, make_spec
from edgeexit.planning.candidates import export_untrained, random_network


@dataclass(frozen=True, slots=True)
class Network:
    """A network to measure."""

    backbone: str
    branches: str
    num_classes: int
    pixels: int

    def __str__(self) -> str:
        return f"{self.name} @{self.pixels}"

    @property
    def name(self) -> str:
        return f"{self.backbone} {self.branches}"

    @property
    def size(self) -> tuple[int, int, int]:
        return 3, self.pixels, self.pixels

    @property
    def spec(self) -> ModelSpec:
        return make_spec(self.backbone, self.branches, self.num_classes, self.size)


@contextlib.contextmanager
def bundle_of(name: str, spec: ModelSpec, bundles: Path | None) -> Iterator[Path]:
    """Yield the folder of a network's bundle, exported unless ``bundles`` has it already."""
    with tempfile.TemporaryDirectory() as temporary:
        path = (bundles or Path(temporary)) / name
        if not path.exists():
            export_untrained(random_network(spec), path)
        yield path


def force(session: Session, leave_at: str) -> None:
    """Set thresholds at which every image leaves at one exit."""
    session.thresholds = forcing(session.manifest.exit_names, leave_at)


def split_thresholds(
    confidences: NDArray[np.float32], leaving: Mapping[str, int]
) -> dict[str, float]:
    """Return thresholds at which the given numbers of images leave at each exit.

    Each lies in the middle between the last that leaves and the first that stays: confidences in
    batches of another size differ by rounding.

    Args:
        confidences: of the M exits in order, for each of N images, (M, N).
        leaving: how many leave at each of the M - 1 branch exits, by name; 0 for none.

    Raises:
        ValueError: more would leave than there are, or two of them are too near to be told apart.
    """
    waiting = np.arange(confidences.shape[1])
    thresholds = {}
    for (name, count), row in zip(leaving.items(), confidences[:-1], strict=True):
        if not 0 <= count <= len(waiting):
            raise ValueError(f"{name}: expected 0 to {len(waiting)} to leave, got {count}")
        waiting = waiting[np.argsort(-row[waiting])]
        bounds = np.array([PASS, *row[waiting], LEAVE], np.float64)
        low, high = bounds[count + 1], bounds[count]
        if 0 < count < len(waiting) and high - low < 1e-6:
            raise ValueError(f"{name}: {high} and {low} are too near; take another seed")
        thresholds[name] = PASS if count == 0 else float((low + high) / 2)
        waiting = waiting[count:]
    return thresholds
