"""Sessions and clocks that do as a test says, so that results do not depend on timings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from edgeexit_runtime import Predictions
from numpy.typing import NDArray

from edgeexit.bench.timing.server import Clock


class FakeClock(Clock):
    """Time that passes only where it is told to, or is waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wait_until(self, moment: float) -> None:
        self.seconds = max(self.seconds, moment)


class FakeSession:
    """Answers with the number in an image's first pixel, and writes down what it was given."""

    def __init__(self, name: str = "", max_batch: int = 8) -> None:
        self.name = name
        self.thresholds: Mapping[str, float] = {}
        self.manifest = SimpleNamespace(max_batch=max_batch)
        self.runner = SimpleNamespace(synchronize=lambda: None)
        self.seen: list[tuple[int, ...]] = []
        self.on_infer: Callable[[], Any] = lambda: None

    def infer(self, images: NDArray[np.float32]) -> Predictions:
        labels = images[:, 0, 0, 0].astype(np.int64)
        self.seen.append(tuple(labels.tolist()))
        self.on_infer()
        return Predictions(labels, np.ones(len(labels), np.float32), labels % 2)


def numbered_images(count: int) -> NDArray[np.float32]:
    """Return images (N, 1, 2, 2) that hold their own number."""
    return (
        np.ones((count, 1, 2, 2), np.float32)
        * np.arange(count, dtype=np.float32)[:, None, None, None]
    )
