"""The training configuration, as stored in a run's folder and its checkpoints.

It also says where a run executes (processes, device, how often it saves); these fields may change
when the run resumes, see :data:`edgeexit.training.record.same.FREE_OPTIONS`.
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
    """Configuration of a training run.

    Defaults are the paper's for CIFAR-100 (Section V), except for ``epochs``.

    Attributes:
        backbone: a registered backbone, or ``package.module:factory`` of a model to attach exits
            to.
        branches: a branching pattern such as ``3+1``, or ``none`` for the plain backbone.
        data: the data configuration.
        epochs: passes over the training images per phase of the strategy; ``branches-only`` and
            ``stage-wise`` have several phases. The learning rate falls linearly to 0 over each
            phase. The paper trains 300 epochs on CIFAR-100 and 60 on ImageNet.
        strategy: a registered strategy: which parameters are trained with which loss.
        distill: a registered teacher of the exits, or ``none``.
        teacher: the plain backbone of ``dk``: a checkpoint's path, ``pretrained`` for the public
            weights of this backbone, or ``pretrained:NAME`` for those of another one. Empty for
            other teachers.
        init: initial weights of the backbone: a checkpoint, or a weights file of another program,
            see :mod:`edgeexit.models.weights.files`; empty for none.
        weights_key: which weights to read from an ``init`` that holds several, such as
            ``state_dict_ema``.
        new_classifier: re-initialize layers whose number of classes differs from ``init``.
        batch_size: images per step, over all processes and accumulated batches together.
        lr: initial learning rate of stochastic gradient descent.
        momentum, weight_decay: of stochastic gradient descent.
        distill_lambda: lambda of Eq. 3, the weight of the labels against the teacher.
        temperature: tau of Eq. 3.
        seed: seed of initial weights, image order and augmentation, not of data splits.
        workers: image loading processes per training process; 0 loads in the training process.
        device: ``auto`` is CUDA if available.
        pretrained: start from the backbone's public weights.
        exits: branching points of a model that is not registered: module names, separated by
            commas, or ``auto`` (also if empty). Must be empty for a registered backbone.
        outputs: for a model that has its own exits: the paths of their logits in its output,
            separated by commas, the final exit last, or ``auto`` for all in order. The exits keep
            their branches: ``branches`` is ``own``. Empty for other models.
        accumulate: number of parts that a step's images are processed in, one after another, to
            save memory. Batch norm computes its statistics for each part.
        amp: automatic mixed precision, ``off``, ``bf16`` or ``fp16``.
        channels_last: use channels-last memory format; None means True for registered backbones
            only, since a user's own model may rely on the contiguous format.
        compile: use ``torch.compile``.
        sync_batch_norm: synchronize batch norm's statistics over all processes; GPUs only.
        save_minutes: within an epoch, write ``last.pt`` when it is this old.
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
        """Whether the backbone is one of edgeexit's, not the user's own model."""
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
                "nothing for a registered backbone, whose branching points are fixed",
            ),
            "outputs": (
                not self.outputs or not (self.is_registered or self.exits),
                "nothing for a registered backbone or together with exits",
            ),
            "branches": (
                not self.outputs or self.branches in ("none", OWN),
                "none together with outputs, which have their own branches",
            ),
            "accumulate": (
                self.accumulate >= 1 and self.batch_size % max(1, self.accumulate) == 0,
                f"a divisor of batch_size, {self.batch_size}",
            ),
            "amp": (self.amp in AMP, f"one of {', '.join(AMP)}"),
            "save_minutes": (0 <= self.save_minutes < math.inf, "at least 0"),
            "init": (not (self.init and self.pretrained), "nothing together with pretrained"),
            "weights_key": (bool(self.init) or not self.weights_key, "nothing without init"),
            "new_classifier": (bool(self.init) or not self.new_classifier, "nothing without init"),
            "device": (self.device in DEVICES, f"one of {', '.join(DEVICES)}"),
        }
        check_fields(self, rules)
