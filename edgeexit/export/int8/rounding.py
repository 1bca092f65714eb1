"""Quantization of real numbers to 8 bits: ``real = scale * (integer - zero point)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 127
"""INT8 is used from -127 to 127: symmetric, as TensorRT requires; 7 bits from -63 to 63."""

SMALLEST_SCALE = 1e-6  # float16 can represent it
UNSIGNED_LEVELS = 255
BIAS_STEPS = 2**30
"""Largest integer of a bias: products are added to it in a sum of 32 bits."""

Bounds = tuple[float, float]
"""The least and the greatest value of a tensor to represent."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """Quantization parameters of one tensor.

    Attributes:
        scale: size of one step, float32 ().
        zero_point: the integer that represents 0, of the integers' type.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray[Any]


def signed_symmetric(bounds: Bounds, dtype: np.dtype[Any]) -> Rounding:
    """Return int8 around 0, up to the larger magnitude; ``dtype`` holds the scale exactly."""
    least, greatest = bounds
    largest = max(abs(least), abs(greatest))
    scale = representable(np.array(largest / LEVELS), dtype)
    return Rounding(scale, np.array(0, np.int8))


def unsigned_asymmetric(bounds: Bounds, dtype: np.dtype[Any]) -> Rounding:
    """Return uint8 from the least to the greatest value, extended to 0, which is exact.

    Where the least value is 0, clipping to this range includes a ReLU.
    """
    least, greatest = min(bounds[0], 0.0), max(bounds[1], 0.0)
    scale = representable(np.array((greatest - least) / UNSIGNED_LEVELS), dtype)
    zero = np.clip(np.rint(-least / scale), 0, UNSIGNED_LEVELS)
    return Rounding(scale, np.array(zero, np.uint8))


def representable(scales: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[np.float32]:
    """Return scales rounded to ``dtype``, and at least :data:`SMALLEST_SCALE`."""
    result: NDArray[Any] = np.maximum(scales, SMALLEST_SCALE).astype(dtype)
    return result.astype(np.float32)


def weight_levels(bits: int) -> int:
    """Return the largest integer of a weight of ``bits`` bits, including the sign."""
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
    """Return a weight in int8, given the scale (channels,) of each output channel."""
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
    """Return the least scales (channels,) of a weight for which its bias fits into int32.

    In a channel of weights near 0 the products have a tiny scale, but the bias may be large.
    """
    least: NDArray[np.float32] = (np.abs(bias) / tensor.scale / BIAS_STEPS).astype(np.float32)
    return least
