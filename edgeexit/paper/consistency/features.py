"""A network's features at one stage, for each image: kept in memory, or computed each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgeexit.models.backbone import Backbone
from edgeexit.models.mode import evaluating
from edgeexit.models.spec import FeatureInfo
from edgeexit.training.comparison import Execution

Features = dict[str, Tensor]
"""Feature maps (N, C, H, W) by name."""

BYTES = 4  # of a float32


class StageFeatures:
    """The features of a number of images, computed for each batch until :meth:`keep` is called.

    Args:
        backbone: the backbone, on the device of ``execution``.
        stage: the last stage that is run.
        infos: the features to extract.
        dataset: items (image, label), the same on every access.
        execution: how the network is run.
    """

    def __init__(
        self,
        backbone: Backbone,
        stage: str,
        infos: Sequence[FeatureInfo],
        dataset: Dataset[Any],
        execution: Execution,
    ) -> None:
        self.backbone, self.stage, self.infos = backbone, stage, infos
        self.dataset, self.execution = dataset, execution
        self.order: Sequence[int] = range(len(dataset))  # type: ignore[arg-type]  # torch leaves it to its subclasses
        self._kept: Features | None = None

    def __len__(self) -> int:
        return len(self.order)

    @property
    def size(self) -> int:
        """Bytes that all features take."""
        return BYTES * len(self) * sum(math.prod(info.shape) for info in self.infos)

    @property
    def kept_bytes(self) -> int:
        """Bytes of memory that are taken now."""
        return 0 if self._kept is None else self.size

    def keep(self, on_images: Callable[[int], None]) -> None:
        """Compute all features once, and keep them in memory.

        Args:
            on_images: called with the number of images that are done.
        """
        kept = {info.name: torch.empty(len(self), *info.shape) for info in self.infos}
        done = 0
        for features in self.in_order():
            start = done
            for name, tensor in features.items():
                done = start + len(tensor)
                kept[name][start:done] = tensor
            on_images(done)
        self._kept = kept

    def shuffle(self, seed: int) -> None:
        """Permute the features across images, so that no reconstruction can learn from them."""
        generator = torch.Generator().manual_seed(seed)
        self.order = torch.randperm(len(self), generator=generator).tolist()

    def in_order(self) -> Iterator[Features]:
        """Yield the features of all images, in batches of the execution's size."""
        size, count = self.execution.batch_size, len(self)
        return self.batches([range(i, min(i + size, count)) for i in range(0, count, size)])

    def batches(self, batches: Sequence[Sequence[int]]) -> Iterator[Features]:
        """Yield the features of each batch of images, on the device that networks run on.

        Args:
            batches: indices of images.
        """
        images = [[self.order[index] for index in batch] for batch in batches]
        if self._kept is None:
            yield from self._computed(images)
            return
        for batch in images:
            index = torch.as_tensor(batch)
            yield {
                name: tensor[index].to(self.execution.device) for name, tensor in self._kept.items()
            }

    def _computed(self, batches: list[list[int]]) -> Iterator[Features]:
        loader = DataLoader(
            self.dataset,
            batch_sampler=batches,
            num_workers=self.execution.workers,
            generator=torch.Generator(),  # the loader draws a seed; not from the global generator
        )
        for images, _ in loader:
            # no inference mode: its tensors cannot be used in training
            with evaluating(self.backbone), torch.no_grad():
                features = self.backbone.extract(images.to(self.execution.device), self.stage)
            yield {info.name: features[info.name] for info in self.infos}


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Statistics of the features to reconstruct.

    Attributes:
        variance: the variance over images, averaged over channels and pixels, summed over tensors.
        signed: names of the tensors that have values below zero.
    """

    variance: float
    signed: frozenset[str]


def feature_statistics(source: StageFeatures) -> FeatureStatistics:
    """Return the statistics of all features of ``source``, read once."""
    sums: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    signed = set()
    for features in source.in_order():
        for name, tensor in features.items():
            values = tensor.double().cpu()  # (n, C, H, W)
            sums[name] = sums.get(name, torch.zeros(())) + values.sum(0)
            squares[name] = squares.get(name, torch.zeros(())) + values.square().sum(0)
            if bool((tensor < 0).any()):
                signed.add(name)
    count = len(source)
    variances = (squares[name] / count - (sums[name] / count).square() for name in sums)
    return FeatureStatistics(sum(float(v.mean()) for v in variances), frozenset(signed))
