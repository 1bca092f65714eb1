"""The steps from an image to an input that data sets have in common.

Without augmentation they give what :class:`edgeexit_runtime.preprocess.Preprocessing` gives.
"""

from __future__ import annotations

import torch
from edgeexit_runtime.preprocess import Preprocessing
from torch import nn
from torchvision.transforms import v2

from edgeexit.data.dataset import Transform

__all__ = ["compose", "resize_exactly"]


def compose(steps: list[nn.Module], preprocessing: Preprocessing) -> Transform:
    """Return ``steps``, which keep an image uint8, followed by the normalization."""
    normalization = [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
    ]
    transform: Transform = v2.Compose([*steps, *normalization])
    return transform


def resize_exactly(size: tuple[int, int], given: tuple[int, int]) -> list[nn.Module]:
    """Return the step from images of ``given`` (height, width) to ``size``: none where equal."""
    return [] if size == given else [v2.Resize(size, antialias=True)]
