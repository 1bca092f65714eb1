"""How real numbers become 8 bits: ``real = scale * (integer - zero point)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 127
"""INT8 is used from -127 to 127: symmetric, as TensorRT wants it; 7 bits from -63 to 63."""

SMALLEST_SCALE = 1e-6  # half precision still has it
UNSIGNED_LEVELS = 255
BIAS_STEPS = 2**30
"""At most, of a bias: products are added to it, and the sum has 32 bits."""

Bounds = tuple[float, float]
"""The least and the greatest value of a tensor that are to be represented."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """One tensor's form in 8 bits.

    Attributes:
        scale: of one step, float32 ().
        zero_point: the integer that stands for 0, of the integers' own type.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[Any]


def signed_symmetric(bounds: Bounds, dtype: np.dtype[Any]) -> Rounding:
    """Return int8 around 0, up to the larger magnitude; ``dtype`` has the scale as it is."""
    least, greatest = bounds
    largest = max(abs(least), abs(greatest))
    scale = representable(np.array(largest / LEVELS), dtype)
    return Rounding(scale, np.array(0, np.int8))


def unsigned_asymmetric(bounds: Bounds, dtype: np.dtype[Any]) -> Rounding:
    """Return uint8 from the least to the greatest value, with 0 among them, and exact.

    What is cut off below is what a ReLU cuts off, where nothing is below 0.
    """
    least, greatest = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale = representable(np.array((greatest - least) / UNSIGNED_LEVELS), dtype)
    zero = np.clip(np.rint(-least / scale), 0, UNSIGNED_LEVELS)
    return Rounding(scale, np.array(zero, np.uint8))


def representable(scales: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """Return scales as ``dtype`` has them; 0, or what it takes for 0, becomes small."""
    result: NDArray[Any] = np.maximum(scales, SMALLEST_SCALE).astype(dtype)
    return result.astype(np.float32)


def weight_levels(bits: int) -> int:
    """Return the largest step of a weight of so many bits, its sign among them."""
    return int(2 ** (bits - 1) - 1)


def weight_scales(
    weight: NDArray[np.float32], axis: int, dtype: np.dtype[Any], levels: int = LEVELS
) -> NDArray[np.float32]:
    """Return the scale of each output channel, (channels,) float32, that ``dtype`` represents."""
    others = tuple(index for index in range(weight.ndim) if index != axis)
    return representable(np.abs(weight).max(axis=others) / levels, dtype)


def weight_steps(
    weight: NDArray[np.float32], scales: NDArray[np.float32], axis: int, levels: int = LEVELS
) -> NDArray[np.int8]:
    """Return a weight in int8, by the scale (channels,) of each output channel."""
    shape = [1] * weight.ndim
    shape[axis] = -1
    steps: NDArray[np.int8] = np.clip(
        np.rint(weight / scales.reshape(shape)), -levels, levels
    ).astype(np.int8)
    return steps


def bias_steps(bias: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return a bias (channels,) in int32, in steps of the products that it is added to."""
    steps = np.rint(bias.astype(np.float64) / scales)
    return np.clip(steps, -BIAS_STEPS, BIAS_STEPS).astype(np.int32)


def scales_for_bias(bias: NDArray[np.float32], tensor: Rounding) -> NDArray[np.float32]:
    """Return the least scales (channels,) of a weight with which its bias fits into int32.

    A channel of weights near 0 has products of tiny steps, and its bias may be large.
    """
    least: NDArray[np.float32] = (np.abs(bias) / tensor.scale / BIAS_STEPS).astype(np.float32)
    return least
