"""What a backend is to the session: something that runs graphs over tensors that it owns."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.gate import GateOutputs

__all__ = ["Runner"]


class Runner(ABC):
    """Runs the graphs of one bundle over a batch of n samples, 1 <= n <= max_batch.

    All tensors between graphs belong to the runner and stay where it computes; only the gate's
    outputs come to the host. Nothing is checked here, that is the session's part. Not
    thread-safe.
    """

    device: str
    """Where the graphs run, in the backend's own word."""

    threads: int | None
    """Threads per graph on the CPU; None where the backend chose."""

    versions: dict[str, str]
    """Name and version of what runs them."""

    @abstractmethod
    def set_images(self, images: NDArray[np.float32]) -> None:
        """Begin a batch with images (n, C, H, W), C-contiguous.

        The array is not copied: it must stay as it is until the next call of this.

        Raises:
            InputError: more than ``max_batch`` images; the buffers would not hold them.
        """

    @abstractmethod
    def run_stage(self, name: str) -> None:
        """Run a stage over the current batch."""

    @abstractmethod
    def run_exit(self, name: str) -> GateOutputs:
        """Run an exit over the current batch; the result is overwritten by its next run."""

    @abstractmethod
    def logits(self, name: str) -> NDArray[np.float32]:
        """Return a copy of the logits (n, K) of an exit's last run, brought to the host."""

    @abstractmethod
    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        """Go on with some samples only, in all tensors that are read after exit ``name``.

        Args:
            name: the exit that the others have left at.
            rows: (k,) int64, ascending, 1 <= k < n.
        """

    @abstractmethod
    def set_threshold(self, name: str, threshold: float) -> None:
        """Set an exit's threshold for all runs to come."""

    def synchronize(self) -> None:
        """Wait until the device has done all that was begun.

        There is nothing to wait for where a run returns when it is done.
        """
        return

    @abstractmethod
    def close(self) -> None:
        """Free everything; the runner is of no use afterwards."""
