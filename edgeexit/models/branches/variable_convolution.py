"""The convolution that brings every branch's features to one size (Section IV-B)."""

from __future__ import annotations

import math

from torch import nn

from edgeexit.errors import SpecError
from edgeexit.models.spec import FeatureInfo


def variable_convolution(features: FeatureInfo, last: FeatureInfo) -> nn.Conv2d:
    """Return the convolution that brings ``features`` to the size of ``last`` (Section IV-B).

    The kernel size is ``3 * sqrt(c_last / c_m)``, which keeps kernel area times channels constant.
    The stride is the ratio of the resolutions. If that is not an integer, as with images of 225
    pixels, the padding makes the output size exact. An even kernel cannot keep the size; if the
    size stays the same, as between MSDNet's exits, the nearest odd kernel is used.

    Raises:
        SpecError: no padding gives that output size.
    """
    channels, *size = features.shape
    last_channels, *last_size = last.shape
    exact = 3 * math.sqrt(last_channels / channels)
    kernel = round(exact)
    odd = 1 + 2 * round((exact - 1) / 2)
    # a wider kernel would have weights that only ever see padding
    if any(odd <= 2 * here - 1 for here, goal in zip(size, last_size, strict=True) if here == goal):
        kernel = odd
    strides, paddings = zip(
        *(
            _stride_and_padding(features, *sizes, kernel)
            for sizes in zip(size, last_size, strict=True)
        ),
        strict=True,
    )
    return nn.Conv2d(channels, last_channels, kernel, strides, paddings, bias=False)


def _stride_and_padding(
    features: FeatureInfo, size: int, goal: int, kernel: int
) -> tuple[int, int]:
    stride = max(1, round(size / goal))
    for padding in range(kernel):
        if size + 2 * padding >= kernel and (size + 2 * padding - kernel) // stride + 1 == goal:
            return stride, padding
    raise SpecError(
        f"branch on {features.name} {features.shape}: no {kernel}x{kernel} convolution of stride "
        f"{stride} takes {size} pixels to {goal}; use another input size, such as a multiple of 32"
    )
