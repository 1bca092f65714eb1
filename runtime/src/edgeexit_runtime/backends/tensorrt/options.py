"""Options for running TensorRT engines; which ones are fastest depends on the device."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.errors import InputError

MAX_POLL_US = 1_000_000


@dataclass(frozen=True, slots=True)
class TensorRTOptions:
    """Ways to run a bundle's engines; all give the same answers.

    Pass ``TensorRTBackend(TensorRTOptions(...))`` to :func:`edgeexit_runtime.load` as ``backend``.
    ``make test-gpu`` times each of them on a device.

    Attributes:
        graphs: whether runs are captured as CUDA graphs at load, and need one launch each.
        join_graphs: whether a stage and the exit behind it are also captured as one graph.
        poll_us: microseconds of polling for an exit's end, before the thread sleeps until the
            driver wakes it.
        map_outputs: whether exits write flags, labels and confidences into host memory instead of
            a copy per exit; None does so if the device has no memory of its own.
        map_images: whether engines read the images from host memory instead of a copy.
        speculate_below: for a single image, the next stage is started before an exit has answered,
            if less than this share of the images reaching the exit is expected to leave there, by
            the bundle's ``expected``. Stages started in vain are counted in
            ``session.statistics()``.

    Raises:
        InputError: a value out of range.
    """

    graphs: bool = True
    join_graphs: bool = False
    poll_us: float = 0
    map_outputs: bool | None = None
    map_images: bool = False
    speculate_below: float = 0

    def __post_init__(self) -> None:
        if self.join_graphs and not self.graphs:
            raise InputError("join_graphs: expected graphs=True with it, got graphs=False")
        if not 0 <= self.poll_us <= MAX_POLL_US:
            raise InputError(f"poll_us: expected 0 to {MAX_POLL_US}, got {self.poll_us!r}")
        if not 0 <= self.speculate_below <= 1:
            raise InputError(f"speculate_below: expected 0 to 1, got {self.speculate_below!r}")
