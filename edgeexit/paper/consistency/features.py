"""A network's features at one stage, for each image: kept in memory, or computed each time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgeexit.models.backbone import Backbone
from edgeexit.models.mode import evaluating
from edgeexit.models.spec import FeatureInfo
from edgeexit.training.comparison import Execution

Features = dict[str, Tensor]
"""Feature maps (N, C, H, W) by name."""

Batches = Sequence[Sequence[int]]
"""Indices of images, batch by batch."""

BYTES = 4  # of a float32


class FeatureSource(Protocol):
    """Features of a number of images."""

    def __len__(self) -> int:
        """Return the number of images."""

    def batches(self, batches: Batches) -> Iterator[Features]:
        """Yield the features of each batch of images, on the device that networks run on."""


class ComputedFeatures:
    """Features that a network computes each time.

    Args:
        backbone: the backbone, on the device of ``execution``.
        dataset: items (image, label), the same on every access.
    """

    def __init__(
        self,
        backbone: Backbone,
        stage: str,
        names: Sequence[str],
        dataset: Dataset[Any],
        execution: Execution,
    ) -> None:
        self.backbone, self.stage, self.names = backbone, stage, tuple(names)
        self.dataset, self.execution = dataset, execution

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # torch leaves it to its subclasses

    def batches(self, batches: Batches) -> Iterator[Features]:
        loader = DataLoader(
            self.dataset,
            batch_sampler=[list(batch) for batch in batches],
            num_workers=self.execution.workers,
            generator=torch.Generator(),  # the loader draws a seed; not from the global generator
        )
        for images, _ in loader:
            # no inference mode: its tensors cannot be used in training
            with evaluating(self.backbone), torch.no_grad():
                features = self.backbone.extract(images.to(self.execution.device), self.stage)
            yield {name: features[name] for name in self.names}


class KeptFeatures:
    """Features that are computed once and kept in memory.

    Args:
        on_batch: called after each batch that was computed.
    """

    def __init__(
        self,
        source: ComputedFeatures,
        infos: Sequence[FeatureInfo],
        on_batch: Callable[[], None] = lambda: None,
    ) -> None:
        count = len(source)
        self.device = source.execution.device
        self.kept = {info.name: torch.empty(count, *info.shape) for info in infos}
        done = 0
        for features in source.batches(in_order(count, source.execution.batch_size)):
            size = 0
            for name, tensor in features.items():
                size = len(tensor)
                self.kept[name][done : done + size] = tensor
            done += size
            on_batch()

    def __len__(self) -> int:
        return len(next(iter(self.kept.values())))

    def batches(self, batches: Batches) -> Iterator[Features]:
        for batch in batches:
            index = torch.as_tensor(batch)
            yield {name: tensor[index].to(self.device) for name, tensor in self.kept.items()}


class ShuffledFeatures:
    """Features permuted across images, from which a reconstruction cannot learn.

    Args:
        seed: seed of the permutation.
    """

    def __init__(self, source: FeatureSource, seed: int) -> None:
        self.source = source
        generator = torch.Generator().manual_seed(seed)
        self.order: list[int] = torch.randperm(len(source), generator=generator).tolist()

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, batches: Batches) -> Iterator[Features]:
        return self.source.batches([[self.order[index] for index in batch] for batch in batches])


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Statistics of the features to reconstruct.

    Attributes:
        variance: by tensor, the variance over images, averaged over channels and pixels.
        signed: names of the tensors that have values below zero.
    """

    variance: dict[str, float]
    signed: frozenset[str]


def feature_bytes(infos: Sequence[FeatureInfo], images: int) -> int:
    """Return the memory that the features of ``images`` images take."""
    return BYTES * images * sum(math.prod(info.shape) for info in infos)


def feature_statistics(source: FeatureSource, batch_size: int) -> FeatureStatistics:
    """Return the statistics of all features of ``source``, read once."""
    sums: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    signed = set()
    for features in source.batches(in_order(len(source), batch_size)):
        for name, tensor in features.items():
            values = tensor.double().cpu()  # (n, C, H, W)
            sums[name] = sums.get(name, torch.zeros(())) + values.sum(0)
            squares[name] = squares.get(name, torch.zeros(())) + values.square().sum(0)
            if bool((tensor < 0).any()):
                signed.add(name)
    count = len(source)
    variance = {
        name: float((squares[name] / count - (sums[name] / count).square()).mean()) for name in sums
    }
    return FeatureStatistics(variance, frozenset(signed))


def in_order(count: int, batch_size: int) -> list[range]:
    """Return the indices below ``count`` in batches; the last one may be smaller."""
    return [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
