"""A backend whose parts take known times on a clock that only they move."""

from __future__ import annotations

import numpy as np
from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.gate import GateOutputs
from numpy.typing import NDArray

Images = NDArray[np.float32]
NS = 1_000_000
EXITS = ("exit1", "exit2", "final")


class TimedRunner(Runner):
    """Image i leaves where its first pixel says; stage s takes ``ms[s]``, a branch 1, a keep 0.5.

    A stage returns at once and is done later, as on a device: only an exit or ``synchronize``
    waits for it. One buffer serves all exits, and is scribbled over by the next run of any.
    """

    device = "imagination"
    threads = None
    versions: dict[str, str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.ms = {"stage1": 10.0, "stage2": 20.0, "stage3": 40.0}
        self.per_sample = 0.0  # more ms of a stage for each sample
        self.now = 0
        self.queued = 0.0
        self.calls: list[str] = []
        self.images: Images = np.empty(0, np.float32)
        self.waiting: Images = np.empty(0, np.float32)
        self.buffer = GateOutputs(np.empty(9, bool), np.empty(9, "i4"), np.empty(9, "f4"))

    def set_images(self, images: Images) -> None:
        self.calls.append(f"images {len(images)}")
        self.images = images
        self.waiting = images[:, 0, 0, 0]

    def run_stage(self, name: str) -> None:
        self.calls.append(name)
        self.queued += self.ms[name] + self.per_sample * len(self.waiting)

    def run_exit(self, name: str) -> GateOutputs:
        self.calls.append(name)
        self.queued += 1
        self.synchronize()
        index = EXITS.index(name)
        count = len(self.waiting)
        self.buffer.exits[:count] = (self.waiting == index) | (name == "final")
        self.buffer.labels[:count] = (index + self.waiting) % 3
        self.buffer.confidences[:count] = (index + 1) / 10
        return GateOutputs(
            self.buffer.exits[:count], self.buffer.labels[:count], self.buffer.confidences[:count]
        )

    def logits(self, name: str) -> NDArray[np.float32]:
        raise NotImplementedError

    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        assert rows.dtype == np.int64
        self.calls.append(f"keep {name} {rows.tolist()}")
        self.queued += 0.5
        self.waiting = self.waiting[rows]

    def set_threshold(self, name: str, threshold: float) -> None:
        self.calls.append(f"{name} {threshold}")

    def synchronize(self) -> None:
        self.now += round(self.queued * NS)
        self.queued = 0

    def close(self) -> None:
        self.calls.append("close")


def leaving_at(*exits: int) -> Images:
    images = np.zeros((len(exits), 3, 4, 4), np.float32)
    images[:, 0, 0, 0] = exits
    return images
