"""Open-loop load: queries arrive whether or not the previous one is answered.

A slow answer delays the queries behind it; latency is measured from the scheduled arrival, not
from the start of processing. Queries are answered one at a time, first come, first served.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from edgeexit_runtime.timing.calls import MS_PER_S
from edgeexit_runtime.timing.turns import settle
from numpy.typing import NDArray

from edgeexit.bench.timing.candidates import Candidate

GIVE_UP = 2  # times the duration; queries that still wait then are dropped
SPIN_S = 0.001  # a sleeping thread may wake up this much too late


class Clock:
    """A monotonic clock in seconds, which can also wait."""

    def now(self) -> float:
        """Return the seconds since an arbitrary reference point."""
        return time.perf_counter()

    def wait_until(self, moment: float) -> None:
        """Block until ``moment``, within microseconds; return at once if it has passed."""
        while (left := moment - self.now()) > 0:
            if left > SPIN_S:
                time.sleep(left - SPIN_S)


def poisson_arrivals(qps: float, duration_s: float, seed: int) -> NDArray[np.float64]:
    """Return the arrivals (Q,) within ``duration_s``, ascending seconds, of a Poisson process.

    Given their number, which is Poisson, they are independent and uniform over the duration.
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, duration_s, rng.poisson(qps * duration_s)))


class Queue:
    """One candidate and its queries, on a clock that pauses while other candidates run.

    Attributes:
        candidate: that answers the queries.
        arrivals: of the queries, ascending seconds.
        starts, ends: seconds at which each query so far was started and answered.

    Args:
        images: (N, C, H, W) float32.
        order: indices of the images that the queries cycle through.
        duration_s: time within which queries arrive.
    """

    def __init__(
        self,
        candidate: Candidate,
        images: NDArray[np.float32],
        order: NDArray[np.intp],
        arrivals: NDArray[np.float64],
        duration_s: float,
        clock: Clock,
    ) -> None:
        self.candidate = candidate
        self.arrivals = arrivals
        self.starts: list[float] = []
        self.ends: list[float] = []
        self._images = images
        self._order = order
        self._give_up = GIVE_UP * duration_s
        self._clock = clock
        self._now = 0.0

    @property
    def service_s(self) -> NDArray[np.float64]:
        """Service time of each answered query in seconds, without waiting."""
        service_s: NDArray[np.float64] = np.array(self.ends) - np.array(self.starts)
        return service_s

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """Latency of each answered query in milliseconds, from its scheduled arrival."""
        late_s = np.array(self.ends) - self.arrivals[: len(self.ends)]
        latency_ms: NDArray[np.float64] = late_s * MS_PER_S
        return latency_ms

    @property
    def finished(self) -> bool:
        """Whether all queries are answered, or the rest dropped."""
        return len(self.ends) == len(self.arrivals) or self._now >= self._give_up

    @property
    def progress(self) -> float:
        """Fraction of the queries answered, or of the time passed if that is larger, 0 to 1."""
        return min(1.0, max(len(self.ends) / len(self.arrivals), self._now / self._give_up))

    def run_segment(self, seconds: float) -> None:
        """Wait for queries and answer them, for this many seconds."""
        self.candidate.prepare()
        settle(partial(self._answer, 0))
        offset = self._clock.now() - self._now
        stop = self._now + seconds
        while not self.finished and self._now < stop:
            index = len(self.ends)
            self._clock.wait_until(offset + min(self.arrivals[index], stop))
            self._now = self._clock.now() - offset
            if self._now < self.arrivals[index]:
                return
            self.starts.append(self._now)
            self._answer(index)
            self._now = self._clock.now() - offset
            self.ends.append(self._now)

    def _answer(self, index: int) -> None:
        image = self._order[index % len(self._order)]
        session = self.candidate.session
        session.infer(self._images[image : image + 1])
        session.runner.synchronize()
