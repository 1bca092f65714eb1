"""Random augmentation that depends on a seed and an image's index alone."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from edgeexit.data.dataset import ImageDataset, Sample

_MASK = 2**64 - 1


class Seeded(Dataset[Sample]):
    """A data set whose random numbers do not depend on the order in which it is read.

    Item i is what ``dataset`` gives with torch's global random numbers seeded from the seed and i,
    which are put back afterwards: the same in whichever process, after whichever other item.

    Args:
        dataset: takes its random numbers from torch's global ones, as torchvision's do.
        seed: of the epoch.
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
    """Return a seed in which every bit of both has a part: splitmix64 (Steele et al., 2014).

    Neighbouring seeds of torch's generator give related first numbers.
    """
    value = (seed * 0x9E3779B97F4A7C15 + (index + 1) * 0xD1B54A32D192ED03) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
