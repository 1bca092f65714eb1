"""How a network is trained, as data: what a run's folder and its checkpoints store about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeexit.data.config import DataConfig
from edgeexit.devices import DEVICES

__all__ = ["TrainConfig"]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run. The defaults are the paper's for CIFAR-100 (Section V), but for epochs.

    Attributes:
        backbone: a registered backbone, or ``package.module:factory`` of a model that exits are
            put onto.
        branches: a branching pattern such as ``3+1``, or ``none`` for the plain backbone.
        data: what to train on.
        epochs: passes over the training images; the rate falls linearly to 0 over all of them.
            The paper takes 300 for CIFAR-100 and 60 for ImageNet.
        strategy: which parameters train on which loss, a registered strategy.
        distill: who teaches the exits, a registered teacher or ``none``.
        batch_size: images per step.
        lr: initial rate of stochastic gradient descent.
        momentum, weight_decay: of stochastic gradient descent.
        distill_lambda: lambda of Eq. 3, the weight of the labels against the teacher.
        temperature: tau of Eq. 3.
        seed: of weights, order and augmentation. Data splits do not depend on it.
        workers: processes that load images; 0 loads them in this one.
        device: ``auto`` is CUDA where there is one.
        pretrained: start from the backbone's public weights.
        exits: where the branches of a model that is not registered go: its modules, separated
            by commas, or ``auto``, which is what an empty text means there. Empty for a
            registered backbone.
    """

    backbone: str
    branches: str
    data: DataConfig
    epochs: int = 30
    strategy: str = "coop"
    distill: str = "none"
    batch_size: int = 64
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    distill_lambda: float = 0.9
    temperature: float = 1.0
    seed: int = 0
    workers: int = 0
    device: str = "auto"
    pretrained: bool = False
    exits: str = ""

    def __post_init__(self) -> None:
        rules = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 2, "at least 2, for batch norm"),
            "lr": (0 < self.lr < math.inf, "above 0"),
            "momentum": (0 <= self.momentum < 1, "at least 0 and below 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "at least 0"),
            "distill_lambda": (0 <= self.distill_lambda <= 1, "0 to 1"),
            "temperature": (0 < self.temperature < math.inf, "above 0"),
            "seed": (self.seed >= 0, "at least 0"),
            "workers": (self.workers >= 0, "at least 0"),
            "exits": (
                not self.exits or ":" in self.backbone,
                "nothing for a registered backbone, whose branches have their places",
            ),
            "device": (self.device in DEVICES, f"one of {', '.join(DEVICES)}"),
        }
        broken = [
            f"{name}: expected {expected}, got {getattr(self, name)!r}"
            for name, (fits, expected) in rules.items()
            if not fits
        ]
        if broken:
            raise ValueError("; ".join(broken))
