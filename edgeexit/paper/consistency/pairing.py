"""A network and the baseline at one stage: features for training and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgeexit.data import ImageData
from edgeexit.models.backbone import Backbone
from edgeexit.models.mode import evaluating
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import FeatureInfo
from edgeexit.paper.consistency.features import (
    ComputedFeatures,
    FeatureSource,
    FeatureStatistics,
    KeptFeatures,
    ShuffledFeatures,
    feature_bytes,
    feature_statistics,
    in_order,
)
from edgeexit.paper.consistency.progress import StudyProgress
from edgeexit.paper.consistency.reconstruction import (
    FitSettings,
    FittedReconstruction,
    Reconstruction,
    fit_reconstruction,
)
from edgeexit.paper.consistency.stages import crossing_features, finish
from edgeexit.training.comparison import Execution

Labels = Tensor
"""True classes of the test images, (N,) int64."""

GIB = 2**30
SHUFFLE_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class StagePair:
    """One network and the baseline at one stage.

    Attributes:
        baseline: the backbone whose later stages classify.
        stage: the stage.
        infos: the features that later stages read.
        source, target: the network's and the baseline's features of the training images.
        test: the network's features of the test images.
        statistics: statistics of ``target``.
        execution: how networks are run.
    """

    baseline: Backbone
    stage: str
    infos: tuple[FeatureInfo, ...]
    source: FeatureSource
    target: FeatureSource
    test: FeatureSource
    statistics: FeatureStatistics
    execution: Execution

    def fit(
        self, depth: int, settings: FitSettings, seed: int, on_step: Callable[[], None]
    ) -> FittedReconstruction:
        """Return a reconstruction with ``depth`` non-linear layers, fitted with ``seed``.

        Raises:
            TrainingError: its error is not finite.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = Reconstruction(self.infos, depth, self.statistics.signed)
        network.to(self.execution.device)
        return fit_reconstruction(
            network, self.source, self.target, self.statistics, settings, seed, on_step
        )

    def accuracy(self, reconstruction: Reconstruction, labels: Labels) -> float:
        """Return the accuracy of the baseline with reconstructed features on the test images."""
        right = done = 0
        batches = self.test.batches(in_order(len(self.test), self.execution.batch_size))
        with evaluating(self.baseline), torch.no_grad():
            for features in batches:
                logits = finish(self.baseline, reconstruction(features), self.stage)
                answers = logits.argmax(1).cpu()
                right += int((answers == labels[done : done + len(answers)]).sum())
                done += len(answers)
        return right / done


class PairOpener(Protocol):
    """Pairs a network with a baseline at a stage."""

    def __call__(self, net: MultiExitNet, name: str, shuffled: bool) -> StagePair:
        """Return the pair; ``shuffled`` permutes the network's features across images."""


def open_stage(
    baseline: MultiExitNet,
    stage: str,
    data: ImageData,
    execution: Execution,
    cache_bytes: float,
    progress: StudyProgress,
) -> PairOpener:
    """Prepare the baseline's features at a stage, and return a function that pairs networks.

    Features are computed once and kept if they fit into the cache: first the baseline's, then a
    network's of the training images, then those of the test images. Sizes are computed before
    memory is allocated.
    """
    infos = crossing_features(baseline, stage)
    baseline.to(execution.device)

    def features(net: MultiExitNet, split: str, name: str, room: float) -> FeatureSource:
        names = [info.name for info in infos]
        images = data.splits[split]
        computed = ComputedFeatures(net.backbone, stage, names, images, execution)
        size = feature_bytes(infos, len(images))
        if size > room:
            progress.remark(
                f"{stage}: the features of {name} on {split} take {size / GIB:.3g} GiB and do not "
                f"fit into the {room / GIB:.3g} left of the cache; they are recomputed each time"
            )
            return computed
        progress.work(f"{stage}  features of {name} on {split}", _batches(images, execution))
        return KeptFeatures(computed, infos, progress.step)

    target = features(baseline, "train", "the baseline", cache_bytes)
    left = cache_bytes - _kept_bytes(target, infos)
    statistics = feature_statistics(target, execution.batch_size)
    if statistics.signed:
        progress.remark(
            f"{stage}: {', '.join(sorted(statistics.signed))} of the baseline has values below "
            "zero, so non-linear layers end with their convolution, not with the ReLU"
        )

    def pair(net: MultiExitNet, name: str, shuffled: bool) -> StagePair:
        net.to(execution.device)
        source = features(net, "train", name, left)
        test = features(net, "test", name, left - _kept_bytes(source, infos))
        if shuffled:
            source = ShuffledFeatures(source, SHUFFLE_SEED)
            test = ShuffledFeatures(test, SHUFFLE_SEED + 1)
        return StagePair(
            baseline.backbone, stage, infos, source, target, test, statistics, execution
        )

    return pair


def _kept_bytes(source: FeatureSource, infos: tuple[FeatureInfo, ...]) -> int:
    return feature_bytes(infos, len(source)) if isinstance(source, KeptFeatures) else 0


def _batches(images: object, execution: Execution) -> int:
    return len(in_order(len(images), execution.batch_size))  # type: ignore[arg-type]
