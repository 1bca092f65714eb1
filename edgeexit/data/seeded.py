"""Random augmentation that depends on seed and index alone. (First version; being replaced.)"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from edgeexit.data.dataset import ImageDataset, Sample

__all__ = ["Seeded"]


class Seeded(Dataset[Sample]):
    def __init__(self, dataset: ImageDataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        before = torch.default_generator.get_state()
        torch.default_generator.manual_seed((self.seed * 1_000_003 + index) % 2**63)
        try:
            return self.dataset[index]
        finally:
            torch.default_generator.set_state(before)
