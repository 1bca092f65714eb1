"""How a TensorRT session goes about its runs, where what is fastest depends on the device."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.errors import InputError

MAX_POLL_US = 1_000_000


@dataclass(frozen=True, slots=True)
class TensorRTOptions:
    """Ways to run a bundle's engines; the answers are the same in all of them.

    :func:`edgeexit_runtime.load` takes ``TensorRTBackend(TensorRTOptions(...))`` as ``backend``.
    ``make test-gpu`` times each of them on a device.

    Attributes:
        graphs: whether runs are captured as CUDA graphs, one launch each, at load.
        join_graphs: whether a stage and the exit behind it are one graph, captured besides.
        poll_us: for so many microseconds an exit's end is asked for over and over, before the
            thread sleeps until the driver wakes it.
        map_outputs: whether exits write flags, labels and confidences into the host's memory, in
            place of a copy per exit; None does so where the device has no memory of its own.
        map_images: whether engines read the images from the host's memory, in place of a copy.
        speculate_below: an image that comes alone has the next stage begun before an exit has
            answered, where less than this share of those who reach it is expected to leave there,
            by the bundle's ``expected``. What was begun in vain is counted in
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
            raise InputError("join_graphs: expected graphs=True beside it, got graphs=False")
        if not 0 <= self.poll_us <= MAX_POLL_US:
            raise InputError(f"poll_us: expected 0 to {MAX_POLL_US}, got {self.poll_us!r}")
        if not 0 <= self.speculate_below <= 1:
            raise InputError(f"speculate_below: expected 0 to 1, got {self.speculate_below!r}")
