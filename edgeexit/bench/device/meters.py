"""Energy between two moments, from an energy counter or from polled power."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

from edgeexit.bench.results.energy import EnergySensor

# Interval between readings of the polling thread. Power sensors average over some ten milliseconds,
# and a reading takes about one millisecond on the I2C bus, so polling itself costs little.
POLL_S = 0.05


class CounterMeter:
    """A monotonic energy counter that wraps around at ``range_j``.

    Args:
        sensor: description of the sensor.
        read_j: returns the counter in joules; raises OSError.
        range_j: value at which the counter wraps around; None if it never does.
    """

    def __init__(
        self, sensor: EnergySensor, read_j: Callable[[], float], range_j: float | None = None
    ) -> None:
        self.sensor = sensor
        self._read_j = read_j
        self._range_j = range_j
        self._start_j = 0.0

    def start(self) -> None:
        """Read the counter; raise OSError if it cannot be read."""
        self._start_j = self._read_j()

    def stop(self) -> float:
        """Return the joules since :meth:`start`, assuming at most one wraparound in a turn.

        Raises:
            OSError: the counter cannot be read, or went backwards.
        """
        joules = self._read_j() - self._start_j
        if joules < 0:
            if self._range_j is None:
                raise OSError(f"{self.sensor.source}: the energy counter went backwards")
            joules += self._range_j
        return joules


class PowerMeter:
    """Power that is polled by a separate thread and integrated by the trapezoidal rule.

    Reading between inferences instead would only measure the idle device.

    Args:
        sensor: description of the sensor.
        read_w: returns watts; raises OSError.
        poll_s: seconds between readings.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sensor: EnergySensor,
        read_w: Callable[[], float],
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.sensor = sensor
        self._read_w = read_w
        self._poll_s = poll_s
        self._clock = clock
        self._readings: list[tuple[float, float]] = []
        self._error: OSError | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read once, and start the polling thread; raise OSError if it cannot be read."""
        self._readings, self._error = [], None
        self._read()
        self._ended.clear()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Stop the polling thread, read once more and return the joules since :meth:`start`.

        Raises:
            OSError: a reading failed.
        """
        assert self._thread is not None
        self._ended.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._read()
        return sum(
            (later - earlier) * (one + other) / 2
            for (earlier, one), (later, other) in itertools.pairwise(self._readings)
        )

    def _poll(self) -> None:
        while not self._ended.wait(self._poll_s):
            try:
                self._read()
            except OSError as error:
                self._error = error
                return

    def _read(self) -> None:
        watts = self._read_w()
        self._readings.append((self._clock(), watts))


Meter = CounterMeter | PowerMeter
"""One sensor. It must not be started again before it is stopped."""
