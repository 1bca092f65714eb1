"""How a network is trained, as data: what a run's folder and its checkpoints store about it.

Where a run executes (processes, device, how often it saves) is part of it as well, but may change
when it goes on: see :data:`edgeexit.training.record.same.FREE_OPTIONS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgeexit.data.config import DataConfig
from edgeexit.devices import DEVICES
from edgeexit.errors import check_fields
from edgeexit.models.spec import OWN

AMP = ("off", "bf16", "fp16")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run. The defaults are the paper's for CIFAR-100 (Section V), but for epochs.

    Attributes:
        backbone: a registered backbone, or ``package.module:factory`` of a model that exits are
            put onto.
        branches: a branching pattern such as ``3+1``, or ``none`` for the plain backbone.
        data: what to train on.
        epochs: passes over the training images in each phase of the strategy (one, but for
            ``branches-only`` and ``stage-wise``); the rate falls linearly to 0 over all of them.
            The paper takes 300 for CIFAR-100 and 60 for ImageNet.
        strategy: which parameters train on which loss, a registered strategy.
        distill: who teaches the exits, a registered teacher or ``none``.
        teacher: the plain backbone of ``dk``: a checkpoint's path, ``pretrained`` for the public
            weights of this backbone, or ``pretrained:NAME`` for another's. Else empty.
        init: a checkpoint whose backbone's weights are started from, or a file of weights that
            something else wrote, see :mod:`edgeexit.models.weights.files`; empty for none.
        weights_key: which weights of an ``init`` that holds several, such as ``state_dict_ema``.
        new_classifier: layers of another number of classes than in ``init`` start anew.
        batch_size: images per step, over all processes and accumulated batches together.
        lr: initial rate of stochastic gradient descent.
        momentum, weight_decay: of stochastic gradient descent.
        distill_lambda: lambda of Eq. 3, the weight of the labels against the teacher.
        temperature: tau of Eq. 3.
        seed: of weights, order and augmentation. Data splits do not depend on it.
        workers: processes that load images, per training process; 0 loads them in this one.
        device: ``auto`` is CUDA where there is one.
        pretrained: start from the backbone's public weights.
        exits: where the branches of a model that is not registered go: its modules, separated
            by commas, or ``auto``, which is what an empty text means there. Empty for a
            registered backbone.
        outputs: of a model that has exits of its own: the paths of their logits in what it
            returns, separated by commas, the final exit last, or ``auto`` for all in order. They
            keep their branches: ``branches`` is ``own``. Else empty.
        accumulate: the parts that a step's images are computed in, one after another, where they
            do not fit the memory at once. Batch norm takes its statistics from each.
        amp: automatic mixed precision, ``off``, ``bf16`` or ``fp16``.
        channels_last: the memory format of the convolutions; None takes it for registered
            backbones, since a model of the user's own may rely on the other.
        compile: through ``torch.compile``.
        sync_batch_norm: batch norm's statistics over all processes; on GPUs alone, as torch's.
        save_minutes: ``last.pt`` is written within an epoch when it is as old as this.
    """

    backbone: str
    branches: str
    data: DataConfig
    epochs: int = 30
    strategy: str = "coop"
    distill: str = "none"
    teacher: str = ""
    init: str = ""
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
    weights_key: str = ""
    new_classifier: bool = False
    outputs: str = ""
    accumulate: int = 1
    amp: str = "off"
    channels_last: bool | None = None
    compile: bool = False
    sync_batch_norm: bool = False
    save_minutes: float = 5.0

    @property
    def is_registered(self) -> bool:
        """Whether the backbone is one of edgeexit's, and not code of the user's own."""
        return ":" not in self.backbone

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
                not (self.exits and self.is_registered),
                "nothing for a registered backbone, whose branches have their places",
            ),
            "outputs": (
                not self.outputs or not (self.is_registered or self.exits),
                "nothing for a registered backbone, nor beside exits",
            ),
            "branches": (
                not self.outputs or self.branches in ("none", OWN),
                "none beside outputs, which bring their own branches",
            ),
            "accumulate": (
                self.accumulate >= 1 and self.batch_size % max(1, self.accumulate) == 0,
                f"a divisor of batch_size, {self.batch_size}",
            ),
            "amp": (self.amp in AMP, f"one of {', '.join(AMP)}"),
            "save_minutes": (0 <= self.save_minutes < math.inf, "at least 0"),
            "init": (not (self.init and self.pretrained), "nothing beside pretrained"),
            "weights_key": (bool(self.init) or not self.weights_key, "nothing without init"),
            "new_classifier": (bool(self.init) or not self.new_classifier, "nothing without init"),
            "device": (self.device in DEVICES, f"one of {', '.join(DEVICES)}"),
        }
        check_fields(self, rules)
