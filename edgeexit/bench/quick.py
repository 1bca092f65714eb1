"""Quick calls, by which an explanation goes: the 10th percentile of timed calls.

A device that does other things too holds some calls up, long ones more often than short ones. In
medians that would look as if long graphs were badly utilized, and the peak, which is measured with
short ones, would be out of reach. Quick calls are what the device does when it is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["quick"]

QUICK = 0.1


def quick(calls_ms: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the time of a quick call among these, of any shape."""
    return float(np.quantile(calls_ms, QUICK))
