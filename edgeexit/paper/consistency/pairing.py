"""A network and the baseline at one stage: their features, and reconstructions between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeexit.data import ImageData
from edgeexit.models.mode import evaluating
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.paper.consistency.features import StageFeatures, feature_statistics
from edgeexit.paper.consistency.options import StudyProgress
from edgeexit.paper.consistency.reconstruction import (
    FitSettings,
    Reconstruction,
    fit_reconstruction,
)
from edgeexit.paper.consistency.stages import crossing_features, finish
from edgeexit.training.comparison import Execution

GIB = 2**30
SHUFFLE_SEED = 0


class BaselineStage:
    """The baseline at one stage, whose features are reconstructed from those of networks.

    Features are computed once and kept if they fit into the cache: first the baseline's, then a
    network's of the training images, then those of the test images. Sizes are computed before
    memory is allocated.

    Args:
        baseline: the network; its later stages classify.
        stage: the stage.
        data: training and test images.
        execution: how networks are run.
        cache_bytes: memory for features.
        progress: receives the work, and remarks.
    """

    def __init__(
        self,
        baseline: MultiExitNet,
        stage: str,
        data: ImageData,
        execution: Execution,
        cache_bytes: float,
        progress: StudyProgress,
    ) -> None:
        self.backbone, self.stage, self.data = baseline.backbone, stage, data
        self.execution, self.progress = execution, progress
        self.infos = crossing_features(baseline, stage)
        self.features = self._features(baseline, "train", "the baseline", cache_bytes)
        self.room = cache_bytes - self.features.kept_bytes
        self.statistics = feature_statistics(self.features)
        if self.statistics.signed:
            progress.remark(
                f"{stage}: {', '.join(sorted(self.statistics.signed))} of the baseline has values "
                "below zero, so non-linear layers end with their convolution, not with the ReLU"
            )

    def pair(self, net: MultiExitNet, name: str, shuffled: bool) -> StagePair:
        """Return the pair with a network; ``shuffled`` permutes its features across images."""
        source = self._features(net, "train", name, self.room)
        test = self._features(net, "test", name, self.room - source.kept_bytes)
        if shuffled:
            source.shuffle(SHUFFLE_SEED)
            test.shuffle(SHUFFLE_SEED + 1)
        return StagePair(self, source, test)

    def _features(self, net: MultiExitNet, split: str, name: str, room: float) -> StageFeatures:
        net.to(self.execution.device)
        images = self.data.splits[split]
        features = StageFeatures(net.backbone, self.stage, self.infos, images, self.execution)
        if features.size > room:
            self.progress.remark(
                f"{self.stage}: the features of {name} on {split} take {features.size / GIB:.3g} "
                f"GiB and do not fit into the {room / GIB:.3g} left of the cache; they are "
                "recomputed each time"
            )
        else:
            self.progress.work(f"{self.stage}  features of {name} on {split}", len(images))
            features.keep(self.progress.done)
        return features


@dataclass(frozen=True, slots=True, eq=False)
class StagePair:
    """One network and the baseline at one stage.

    Attributes:
        baseline: the baseline at the stage.
        source, test: the network's features of the training and of the test images.
    """

    baseline: BaselineStage
    source: StageFeatures
    test: StageFeatures

    def fit(
        self,
        depth: int,
        settings: FitSettings,
        seed: int,
        labels: Tensor,
        on_step: Callable[[int], None],
    ) -> tuple[float, float, float]:
        """Fit a reconstruction with ``depth`` non-linear layers, with the random seed ``seed``.

        Args:
            labels: the true classes of the test images, (N,) int64.

        Returns:
            The accuracy of the baseline with the reconstruction on the test images; the mean
            squared error on the training images; and this error over the variance of the
            baseline's features, 0 to about 1: the share that is not explained.

        Raises:
            TrainingError: the error is not finite.
        """
        at = self.baseline
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = Reconstruction(at.infos, depth, at.statistics.signed)
        network.to(at.execution.device)
        mse = fit_reconstruction(network, self.source, at.features, settings, seed, on_step)
        answers = []
        with evaluating(at.backbone), torch.no_grad():
            for features in self.test.in_order():
                logits = finish(at.backbone, network(features), at.stage)
                answers.append(logits.argmax(1).cpu())
        right = int((torch.cat(answers) == labels).sum())
        return right / len(labels), mse, mse / max(at.statistics.variance, 1e-12)
