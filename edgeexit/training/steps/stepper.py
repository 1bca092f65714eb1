"""The optimizer steps of one phase of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from edgeexit.errors import DataError, TrainingError
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.training.distributed import World
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.steps.strategies import Phase, PhaseNet
from edgeexit.training.teaching.losses import distillation_loss, joint_cross_entropy
from edgeexit.training.teaching.teachers import Teacher

Batch = tuple[Tensor, Tensor]
"""Images (n, C, H, W) and targets (n,) int64."""

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Network, optimizer, schedule and loss scaler of one phase, on this device and process.

    Args:
        net: the network, already on the device; the caller sets its modes.
        phase: which modules are trained, on which exits.
        parameters: the parameters that ``phase`` trains.
        config: resolved.
        world: the training processes.
        teacher: used if the phase is taught; None without.
        steps: number of steps in the whole phase, in which the learning rate falls linearly to 0
            (Section V).
    """

    def __init__(
        self,
        net: MultiExitNet,
        phase: Phase,
        parameters: Sequence[nn.Parameter],
        config: TrainConfig,
        world: World,
        teacher: Teacher | None,
        steps: int,
    ) -> None:
        self.phase, self.config, self.world = phase, config, world
        self.teacher = teacher if phase.taught else None
        self.memory_format = memory_format(config)
        reads_all = self.teacher is not None and self.teacher.reads_exits
        computed = PhaseNet(net, net.spec.exit_names if reads_all else phase.exits)
        self.classes = net.spec.num_classes
        self.parallel = world.parallel(computed)
        self.forward: Callable[[Tensor], dict[str, Tensor]] = self.parallel or computed
        if config.compile:
            self.forward = torch.compile(self.forward)
        self.optimizer = torch.optim.SGD(
            parameters,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: max(0.0, 1 - step / steps)
        )
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=config.amp == "fp16")

    def step(self, parts: Sequence[Batch]) -> Tensor:
        """Take a step on a batch given in parts, whose gradients are averaged.

        Returns:
            (1 + exits) float64 on the device: the sum of the images' losses, and the number of
            correct predictions of each exit of the phase.

        Raises:
            DataError: a target is not a class index.
            TrainingError: the network cannot be compiled.
        """
        self.optimizer.zero_grad()
        sums = []
        for number, part in enumerate(parts, start=1):
            with self._synchronized(number == len(parts)):
                loss, logits, targets = self._loss(*part)
                self.scaler.scale(loss / len(parts)).backward()  # type: ignore[no-untyped-call]
            correct = [(z.argmax(dim=1) == targets).sum() for z in logits.values()]
            sums.append(torch.stack([loss.detach() * len(targets), *correct]).double())
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # otherwise fp16 overflowed and the step was skipped
            self.scheduler.step()
        return torch.stack(sums).sum(dim=0)

    def state_dict(self) -> dict[str, Any]:
        """Return the state to resume from: plain values and tensors."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a :meth:`state_dict` of the same phase.

        Additional entries of other versions of torch are ignored.

        Raises:
            KeyError, TypeError, ValueError, IndexError: it is not a state of this phase.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        momentum = {
            index: {"momentum_buffer": _in_form_of(parameters[index], kept["momentum_buffer"])}
            for index, kept in dict(state["optimizer"]["state"]).items()
        }
        fitting = _in_form_of(self.state_dict(), state)
        self.optimizer.load_state_dict({**fitting["optimizer"], "state": momentum})
        self.scheduler.load_state_dict(fitting["scheduler"])
        self.scaler.load_state_dict(fitting["scaler"])

    def _loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        self._check_targets(targets)
        device = self.world.device
        images = images.to(device, non_blocking=True, memory_format=self.memory_format)
        targets = targets.to(device, non_blocking=True)
        with self._autocast():
            logits = self._compute(images)
            students = {name: logits[name] for name in self.phase.exits}
            if self.teacher is None:
                return joint_cross_entropy(students, targets), students, targets
            loss = distillation_loss(
                students,
                targets,
                self.teacher(images, logits),
                distill_lambda=self.config.distill_lambda,
                temperature=self.config.temperature,
            )
            return loss, students, targets

    def _compute(self, images: Tensor) -> dict[str, Tensor]:
        try:
            return self.forward(images)
        except Exception as error:
            if not self.config.compile or "torch._" not in type(error).__module__:
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise TrainingError(
                f"torch.compile cannot compile this network here ({reason}): omit --compile"
            ) from error

    def _check_targets(self, targets: Tensor) -> None:
        outside = targets[(targets < 0) | (targets >= self.classes)]
        if len(outside):
            raise DataError(
                f"expected labels of 0 to {self.classes - 1}, got {int(outside[0])}: correct the "
                "labels of the training images"
            )

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.amp == "off":
            return nullcontext()
        return torch.autocast(self.world.device.type, AMP_DTYPES[self.config.amp])

    def _synchronized(self, last: bool) -> AbstractContextManager[Any]:
        """Return a context that exchanges gradients between processes only for the last part."""
        return nullcontext() if last or self.parallel is None else self.parallel.no_sync()


def memory_format(config: TrainConfig) -> torch.memory_format:
    """Return the memory format of the network and its images."""
    return torch.channels_last if config.channels_last else torch.contiguous_format


def _in_form_of(own: Any, stored: Any) -> Any:
    """Return a stored state, checked to have the keys, lengths, shapes and types of ``own``.

    Raises:
        ValueError: a value in it has another type or shape, or is not finite.
    """
    if isinstance(own, dict) and isinstance(stored, dict):
        both = {key: _in_form_of(own[key], stored[key]) for key in own.keys() & stored.keys()}
        return {**own, **both}
    if isinstance(own, (list, tuple)) and isinstance(stored, (list, tuple)):
        return [_in_form_of(*pair) for pair in zip(own, stored, strict=True)]
    if isinstance(own, Tensor):
        fits = isinstance(stored, Tensor) and stored.shape == own.shape
        fits = fits and bool(stored.isfinite().all())
    elif _is_number(own):
        fits = _is_number(stored) and math.isfinite(stored)
    else:
        fits = type(stored) is type(own)
    if not fits:
        raise ValueError(f"expected {own}, got {stored}")
    return stored


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
