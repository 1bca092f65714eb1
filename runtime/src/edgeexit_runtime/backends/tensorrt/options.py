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
        poll_us: for so many microseconds an exit's end is asked for over and over, before the
            thread sleeps until the driver wakes it.
        map_outputs: whether exits write flags, labels and confidences into the host's memory, in
            place of a copy per exit; None does so where the device has no memory of its own.
        map_images: whether engines read the images from the host's memory, in place of a copy.

    Raises:
        InputError: a value out of range.
    """

    graphs: bool = True
    poll_us: float = 0
    map_outputs: bool | None = None
    map_images: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.poll_us <= MAX_POLL_US:
            raise InputError(f"poll_us: expected 0 to {MAX_POLL_US}, got {self.poll_us!r}")
