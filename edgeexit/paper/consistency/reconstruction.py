"""Reconstruction of one network's features from another's: Eq. 4 of the paper.

    Z_hat = F_N o ... o F_1 o F_0 (Z)

F_0 is one convolution, each other F_n a convolution with batch norm and a ReLU, trained with the
mean squared error (Section IV-C). The paper does not give the kernel size: here it is 3x3 with
padding 1, as in the code of the work it builds on (Liang et al., Knowledge Consistency between
Neural Networks and Beyond, ICLR 2020, https://arxiv.org/abs/1908.01581). Weights are initialized
with PyTorch's defaults, never as the identity: that would favor networks whose channels happen to
have the order of the baseline's.

Eq. 4 ends in a ReLU for N > 0. Negative features, which backbones without a ReLU at the end of
their stages have (MobileNetV2, for example), could not be reconstructed. For a tensor with negative
values on the training images, each F_n has the order batch norm, ReLU, convolution, as in that
code: the same number of layers and ReLUs, but with a convolution at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeexit.errors import TrainingError, check_fields
from edgeexit.models.spec import FeatureInfo
from edgeexit.paper.consistency.features import Features, StageFeatures
from edgeexit.training.steps.loading import epoch_batches


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Settings for training a reconstruction with stochastic gradient descent.

    Default momentum, weight decay and batch size are those of the paper's networks (Section V-A).

    Attributes:
        epochs: passes over the training images.
        lr: initial learning rate, multiplied by ``decay`` every ``decay_epochs`` epochs.
        decay, decay_epochs: see ``lr``.
        batch_size: images per step; reduced to the number of images if that is smaller.
        momentum, weight_decay: of stochastic gradient descent.
        seed: with stage, N and run, determines all random numbers.
    """

    epochs: int = 10
    lr: float = 0.01
    decay: float = 0.1
    decay_epochs: int = 3
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "lr": (0 < self.lr < math.inf, "above 0"),
            "decay": (0 < self.decay <= 1, "above 0, at most 1"),
            "decay_epochs": (self.decay_epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 2, "at least 2, for batch norm"),
            "momentum": (0 <= self.momentum < 1, "at least 0 and below 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "at least 0"),
            "seed": (self.seed >= 0, "at least 0"),
        }
        check_fields(self, rules)

    def steps(self, images: int) -> int:
        """Return the number of steps in all epochs over ``images`` training images."""
        return self.epochs * (images // min(images, self.batch_size))


class Reconstruction(nn.Module):
    """F_0 and N non-linear layers for each tensor, independent of the other tensors.

    Args:
        infos: names and shapes of the tensors, the same in both networks.
        depth: N.
        signed: names of the tensors that have values below zero.
    """

    def __init__(self, infos: Sequence[FeatureInfo], depth: int, signed: Collection[str]) -> None:
        super().__init__()
        self.names = tuple(info.name for info in infos)
        self.chains = nn.ModuleList(
            _chain(info.shape[0], depth, info.name in signed) for info in infos
        )

    def forward(self, features: Features) -> Features:
        """Map feature maps (N, C, H, W) by name to those of the baseline, of the same shapes."""
        return {
            name: chain(features[name]) for name, chain in zip(self.names, self.chains, strict=True)
        }


def fit_reconstruction(
    network: Reconstruction,
    source: StageFeatures,
    target: StageFeatures,
    settings: FitSettings,
    seed: int,
    on_step: Callable[[int], None],
) -> float:
    """Train a reconstruction of ``target``'s features from ``source``'s, of the same images.

    Afterwards it is in evaluation mode. Return the mean squared error over the last epoch, summed
    over the tensors.

    Args:
        network: the reconstruction to train, on its device.
        target: the baseline's features of the same images.
        seed: seed of the order of the images.
        on_step: called after each step with the number of steps so far.

    Raises:
        TrainingError: the error is not finite.
    """
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, settings.decay_epochs, settings.decay)
    seeds = torch.Generator().manual_seed(seed)
    batch_size = min(settings.batch_size, len(source))
    network.train()
    mse, steps = math.nan, 0
    for epoch in range(1, settings.epochs + 1):
        order = int(torch.randint(2**62, (), generator=seeds))
        batches = epoch_batches(len(source), batch_size, seed=order)
        total, pairs = 0.0, zip(source.batches(batches), target.batches(batches), strict=True)
        for given, wanted in pairs:
            loss = _squared_error(network(given), wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach())
            steps += 1
            on_step(steps)
        mse = total / len(batches)
        if not math.isfinite(mse):
            raise TrainingError(
                f"the error of the reconstruction is {mse} after epoch {epoch}: lower --lr, "
                f"{settings.lr} is too high for these features"
            )
        schedule.step()
    network.eval()
    return mse


def _squared_error(given: Features, wanted: Features) -> Tensor:
    errors = [nn.functional.mse_loss(given[name], wanted[name]) for name in wanted]
    return torch.stack(errors).sum()


def _chain(channels: int, depth: int, signed: bool) -> nn.Sequential:
    """Return F_0 to F_N as one module."""
    layers: list[nn.Module] = [nn.Conv2d(channels, channels, 3, padding=1)]
    for _ in range(depth):
        if signed:
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.Conv2d(channels, channels, 3, padding=1)]
        else:
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers)
