"""Transforms from images to inputs, shared by data sets.

Without augmentation they equal :class:`edgeexit_runtime.images.preprocess.Preprocessing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from edgeexit_runtime.images.fitting import fit
from edgeexit_runtime.images.preprocess import Preprocessing
from torch import Tensor, nn
from torchvision.transforms import v2

from edgeexit.data.dataset import Transform

if TYPE_CHECKING:
    from PIL import Image


class FitImage(nn.Module):
    """Maps a PIL image of any size to uint8 (C, H, W) of the input size, as the runtime does."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing

    def forward(self, image: Image.Image) -> Tensor:
        return torch.tensor(fit(image, self.preprocessing)).permute(2, 0, 1)


def compose(steps: list[nn.Module], preprocessing: Preprocessing) -> Transform:
    """Return ``steps``, which keep an image uint8, followed by the normalization."""
    normalization = [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
    ]
    transform: Transform = v2.Compose([*steps, *normalization])
    return transform
