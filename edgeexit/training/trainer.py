"""Train one epoch at a time and validate every exit after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from edgeexit.errors import CheckpointError, TrainingError
from edgeexit.evaluation.predictions import predict
from edgeexit.training.record.folder import SavedRun
from edgeexit.training.record.reports import EpochRecord, StepStatus
from edgeexit.training.setup import OTHER_NETWORK, TrainSetup
from edgeexit.training.steps.loading import load_batches, seed_at
from edgeexit.training.steps.stepper import Stepper
from edgeexit.training.steps.strategies import Phase, learn_only, set_modes
from edgeexit.training.steps.sums import EpochSums
from edgeexit.training.teaching.teachers import TEACHER, TaughtNet

READ_EVERY = 16
"""Steps per read of results from a GPU: every read synchronizes with the device."""

OnStep = Callable[[StepStatus], None]


class Trainer:
    """The mutable state of a run: the weights, the phase's optimizer, the epoch's sums.

    Args:
        setup: the network, its data and the configuration.
        saved: the run to resume; None for a new one.

    Attributes:
        setup: as it was given.
        sums: sums of the current or last epoch on this process.

    Raises:
        CheckpointError: ``saved`` is a run of another network.
    """

    def __init__(self, setup: TrainSetup, saved: SavedRun | None = None) -> None:
        self.setup = setup
        self.sums = EpochSums.none(0)
        self._learnable = [p for p in setup.net.parameters() if p.requires_grad]
        self._stepper: Stepper | None = None
        if saved is not None:
            self._restore(saved)

    def run_epoch(self, epoch: int, on_step: OnStep) -> EpochRecord:
        """Train one epoch, or the rest of a resumed one, then validate every exit.

        Args:
            epoch: counted from 1 over all phases.
            on_step: called with the epoch's status after steps with a finite loss.

        Raises:
            TrainingError: the loss or a weight is no longer finite.
            DataError: an image cannot be read, or its label is not a class index.
        """
        setup, stepper = self.setup, self._enter(epoch)
        if not 0 < self.sums.steps < setup.steps:
            self.sums = EpochSums.none(len(stepper.phase.exits))
        self._train(epoch, stepper, on_step)
        self.check_weights(epoch)
        total = self.total_sums()
        setup.world.share_buffers(setup.net)
        accuracy = self.validate()
        teacher_accuracy = accuracy.pop(TEACHER, None)
        return EpochRecord(
            epoch=epoch,
            loss=total.loss / total.samples,
            lr=setup.config.lr * (1 - (epoch - 1) % setup.config.epochs / setup.config.epochs),
            accuracy=accuracy,
            teacher_accuracy=teacher_accuracy,
            samples_per_second=total.samples * setup.world.size / total.seconds,
            phase=stepper.phase.name,
            data_wait_share=total.waited_seconds / total.seconds,
        )

    def validate(self) -> dict[str, float]:
        """Return each exit's validation accuracy and, under :data:`TEACHER`, the teacher's if any.

        Every process evaluates its share of the images: a collective call, made by all of them.
        """
        setup, world = self.setup, self.setup.world
        images, names = setup.data.splits["val"], list(setup.net.spec.exit_names)
        judged: nn.Module = setup.net
        if setup.teacher is not None:
            judged, names = TaughtNet(setup.net, setup.teacher), [*names, TEACHER]
        share = range(world.rank, len(images), world.size)
        correct = [0.0] * len(names)
        if share:
            subset = Subset(images, share)
            found = predict(judged, subset, device=world.device, workers=setup.config.workers)
            correct = found.correct.sum(axis=1).tolist()
        counts = zip(names, world.sum(correct), strict=True)
        return {name: count / len(images) for name, count in counts}

    def total_sums(self) -> EpochSums:
        """Return the epoch's sums over all processes; a collective call, made by all of them."""
        return EpochSums.of(self.sums.steps, self.setup.world.sum(self.sums.values))

    def check_weights(self, epoch: int) -> None:
        """Raise TrainingError if a weight is not finite."""
        weights = self.setup.net.state_dict().values()
        if not all(bool(value.isfinite().all()) for value in weights):
            raise self._diverged("weights", epoch, self.sums.steps)

    def stepper_state(self) -> dict[str, Any]:
        """Return the state of the phase's optimizer, learning rate schedule and loss scaler."""
        return {} if self._stepper is None else self._stepper.state_dict()

    def release(self) -> None:
        """Restore ``requires_grad`` of the parameters that phases froze."""
        for parameter in self._learnable:
            parameter.requires_grad_(True)

    def _enter(self, epoch: int) -> Stepper:
        """Return the stepper of the epoch's phase; a new phase gets a new one."""
        setup, phase = self.setup, self.setup.phase_of(epoch)
        if self._stepper is None or self._stepper.phase is not phase:
            self._stepper = Stepper(
                setup.net,
                phase,
                learn_only(phase, self._learnable),
                setup.config,
                setup.world,
                setup.teacher,
                setup.config.epochs * setup.steps,
            )
        return self._stepper

    def _train(self, epoch: int, stepper: Stepper, on_step: OnStep) -> None:
        """Take the epoch's remaining steps and add them to the sums."""
        setup, config, world = self.setup, self.setup.config, self.setup.world
        set_modes(setup.net, stepper.phase)
        batches = load_batches(setup.data.training, config, world, epoch, self.sums.steps)
        read_every = READ_EVERY if world.device.type == "cuda" else 1
        before, waited, unread = time.perf_counter(), 0.0, list[Tensor]()
        for step in range(self.sums.steps + 1, setup.steps + 1):
            start = time.perf_counter()
            parts = list(islice(batches, config.accumulate))
            waited += time.perf_counter() - start
            torch.manual_seed(seed_at(config.seed, epoch, step, world.rank))
            unread.append(stepper.step(parts))
            if len(unread) == read_every or step == setup.steps:
                rows = torch.stack(unread).tolist()
                now = time.perf_counter()
                self._add(epoch, rows, now - before, waited)
                before, waited = now, 0.0
                unread.clear()
                on_step(self._status(epoch, stepper.phase))

    def _add(self, epoch: int, rows: list[list[float]], seconds: float, waited: float) -> None:
        """Add the results of steps to the sums: the loss and each exit's correct predictions."""
        for step, row in enumerate(rows, start=self.sums.steps + 1):
            if not math.isfinite(row[0]):
                raise self._diverged("loss", epoch, step)
        images = self.setup.config.batch_size // self.setup.world.size
        self.sums = self.sums.plus(rows, images, seconds, waited)

    def _status(self, epoch: int, phase: Phase) -> StepStatus:
        sums = self.sums
        shares = [count / sums.samples for count in sums.correct]
        return StepStatus(
            phase=phase.name,
            epoch=epoch,
            epochs=self.setup.epochs,
            step=sums.steps,
            steps=self.setup.steps,
            loss=sums.loss / sums.samples,
            accuracy=dict(zip(phase.exits, shares, strict=True)),
        )

    def _restore(self, saved: SavedRun) -> None:
        """Restore the saved state of the run.

        Raises:
            CheckpointError: it is the state of another network.
        """
        done, sums = len(saved.history), saved.sums
        try:
            self.setup.net.load_state_dict(saved.checkpoint.weights)
            if sums is None and done % self.setup.config.epochs == 0:
                return  # the next epoch begins a phase
            stepper = self._enter(done if sums is None else done + 1)
            stepper.load_state_dict(saved.stepper)
            if sums is not None:
                none = EpochSums.none(len(stepper.phase.exits), sums.steps)
                if len(sums.correct) != len(none.correct):
                    raise ValueError(f"sums of {len(sums.correct)} exits")
                self.sums = sums if self.setup.world.is_main else none
        except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
            raise CheckpointError(OTHER_NETWORK) from error

    def _diverged(self, what: str, epoch: int, step: int) -> TrainingError:
        return TrainingError(
            f"the {what} became infinite or not a number in epoch {epoch}, step {step}: lower "
            f"--lr, now {self.setup.config.lr}"
        )
