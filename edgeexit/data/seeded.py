"""Random augmentation that depends only on a seed and an image's index."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from edgeexit.data.dataset import ImageDataset, Sample

_MASK = 2**64 - 1


class Seeded(Dataset[Sample]):
    """A data set whose random numbers do not depend on the order in which it is read.

    Item i is read from ``dataset`` with torch's global generator seeded from the seed and i, and
    the generator's state is restored. An item is the same in any process and in any order.

    Args:
        dataset: uses torch's global generator, as torchvision's transforms do.
        seed: the seed of the epoch.
    """

    def __init__(self, dataset: ImageDataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        generator = torch.default_generator
        before = generator.get_state()
        generator.manual_seed(_mixed(self.seed, index))
        try:
            return self.dataset[index]
        finally:
            generator.set_state(before)


def _mixed(seed: int, index: int) -> int:
    """Return a seed that depends on every bit of both: splitmix64 (Steele et al., 2014).

    Neighboring seeds of torch's generator produce correlated first numbers.
    """
    value = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xD1B54A32D192ED03) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
