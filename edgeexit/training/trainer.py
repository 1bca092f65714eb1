"""One epoch of training: network, optimizer and schedule of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from edgeexit.data import ImageData
from edgeexit.errors import CheckpointError, SpecError, TrainingError
from edgeexit.evaluation.predictions import predict
from edgeexit.models.factories import ModelSource
from edgeexit.models.registry import backbone_entry, list_backbones
from edgeexit.models.spec import ModelSpec
from edgeexit.training.config import TrainConfig
from edgeexit.training.metrics import EpochRecord
from edgeexit.training.network import create_network
from edgeexit.training.run import RunState
from edgeexit.training.schedule import linear_decay
from edgeexit.training.strategies import create_objective
from edgeexit.training.teachers import Teacher, create_teacher

__all__ = ["DivergedError", "Trainer"]

TEACHER = "teacher"


class DivergedError(TrainingError):
    """The loss or a weight is no longer a finite number."""


class Trainer:
    """What changes while a run trains.

    Everything random in an epoch (order, augmentation, dropout) is seeded from the run's seed and
    the epoch's number, through torch's global generator and the loader's own. That is why a run
    goes on from a checkpoint without any stored random state.

    Args:
        config: resolved, that is with a device that exists.
        data: what ``config.data`` names.
        model: what to train where ``config.backbone`` is not registered; built after seeding.
        spec: of the network of a run that goes on.

    Raises:
        UnknownNameError, SpecError: no such network, strategy or teacher.
        TrainingError: there are too few images for a batch, or ``model`` is another network.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ImageData,
        model: ModelSource | None = None,
        spec: ModelSpec | None = None,
    ) -> None:
        self.config = config
        self.data = data
        self.device = torch.device(config.device)
        torch.manual_seed(_seed(config.seed, 0))
        net = create_network(config, data, model, spec)
        # channels last: the convolutions' own order on the CPU, about a fifth faster there; but
        # a model of the user's own may use view() in ways that only the other order allows
        self.memory_format = (
            torch.channels_last if net.spec.is_registered else torch.contiguous_format
        )
        self.net = net.to(memory_format=self.memory_format).to(self.device)
        self.teacher = create_teacher(config.distill)
        objective = create_objective(self.net, config)
        self.loss = objective.loss
        self.loader_generator = torch.Generator()
        self.loader = self._loader()
        self.optimizer = torch.optim.SGD(
            objective.parameters,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.scheduler = linear_decay(self.optimizer, config.epochs * len(self.loader))

    def load_pretrained(self) -> str:
        """Fill the backbone with its public weights; return which they are, in a phrase.

        Raises:
            SpecError: the backbone has none.
            DataError: they could not be fetched.
        """
        load = backbone_entry(self.config.backbone).load_pretrained
        if load is None:
            known = [name for name in list_backbones() if backbone_entry(name).load_pretrained]
            raise SpecError(
                f"{self.config.backbone} has no pretrained weights: leave --pretrained out or use "
                f"one of {', '.join(known)}"
            )
        return load(self.net.backbone)

    def restore(self, state: RunState) -> None:
        """Go back to where the run was after its last finished epoch.

        Raises:
            CheckpointError: the state is that of another network.
        """
        try:
            self.net.load_state_dict(state.checkpoint.weights)
            self.optimizer.load_state_dict(state.optimizer)
            self.scheduler.load_state_dict(state.scheduler)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                "last.pt does not fit the network that the run trains; start it anew with "
                "another -o"
            ) from error

    def run_epoch(self, epoch: int, on_batch: Callable[[int, int], None]) -> EpochRecord:
        """Train for one epoch and validate every exit.

        Args:
            epoch: counted from 1.
            on_batch: called after each batch with the number of batches done, and of all.

        Raises:
            DivergedError: the loss or a weight is no longer finite.
        """
        seed = _seed(self.config.seed, epoch)
        torch.manual_seed(seed)
        self.loader_generator.manual_seed(seed)
        lr = float(self.scheduler.get_last_lr()[0])
        self.net.train()
        loss_sum, samples = 0.0, 0
        start = time.perf_counter()
        for step, (images, targets) in enumerate(self.loader, start=1):
            loss = self._step(images, targets)
            if not math.isfinite(loss):
                raise DivergedError(self._diverged("loss", epoch, step))
            loss_sum += loss * len(targets)
            samples += len(targets)
            on_batch(step, len(self.loader))
        seconds = time.perf_counter() - start
        if not all(bool(value.isfinite().all()) for value in self.net.state_dict().values()):
            raise DivergedError(self._diverged("weights", epoch, len(self.loader)))
        accuracy = self._validate()
        teacher_accuracy = accuracy.pop(TEACHER, None)
        return EpochRecord(
            epoch, loss_sum / samples, lr, accuracy, teacher_accuracy, samples / seconds
        )

    def _step(self, images: Tensor, targets: Tensor) -> float:
        images = images.to(self.device, non_blocking=True, memory_format=self.memory_format)
        targets = targets.to(self.device, non_blocking=True)
        loss = self.loss(self.net(images), targets)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    def _validate(self) -> dict[str, float]:
        """Return each exit's accuracy on the validation images, and the teacher's if any."""
        net = self.net if self.teacher is None else _Taught(self.net, self.teacher)
        predictions = predict(
            net, self.data.splits["val"], device=self.device, workers=self.config.workers
        )
        shares = predictions.correct.mean(axis=1)
        return dict(zip(predictions.exit_names, shares.tolist(), strict=True))

    def _loader(self) -> DataLoader[Any]:
        images, batch_size = len(self.data.training), self.config.batch_size
        if images < 2:
            raise TrainingError(f"expected at least 2 training images, got {images}; add more")
        return DataLoader(
            self.data.training,
            batch_size,
            shuffle=True,
            generator=self.loader_generator,
            num_workers=self.config.workers,
            pin_memory=self.device.type == "cuda",
            drop_last=images % batch_size == 1,  # batch norm cannot use a single sample
        )

    def _diverged(self, what: str, epoch: int, step: int) -> str:
        return (
            f"the {what} became infinite or not a number in epoch {epoch}, step {step}: lower "
            f"--lr, now {self.config.lr}"
        )


class _Taught(nn.Module):
    """A network with its teacher as one more exit, so that both are judged in one pass."""

    def __init__(self, net: nn.Module, teacher: Teacher) -> None:
        super().__init__()
        self.net = net
        self.teacher = teacher

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = self.net(images)
        return {**logits, TEACHER: self.teacher(logits)}


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
