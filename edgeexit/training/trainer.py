"""One epoch of training after another: network, teacher and phases of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from edgeexit.data import ImageData
from edgeexit.data.seeded import Seeded
from edgeexit.errors import CheckpointError, InputError, TrainingError
from edgeexit.evaluation.predictions import predict
from edgeexit.models.factories import ModelSource, create_model
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.spec import FINAL
from edgeexit.models.weights.filling import LoadedWeights
from edgeexit.training.distributed import World
from edgeexit.training.initial import load_initial_weights, load_model_weights
from edgeexit.training.network import create_network
from edgeexit.training.record.folder import RunState
from edgeexit.training.record.metrics import EpochRecord
from edgeexit.training.record.progress import StepStatus
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.steps.order import epoch_batches
from edgeexit.training.steps.phases import Phase, learn_only, set_modes
from edgeexit.training.steps.stepper import Stepper, memory_format
from edgeexit.training.steps.strategies import plan_phases
from edgeexit.training.steps.sums import EpochSums
from edgeexit.training.teaching.dark_knowledge import DarkKnowledge
from edgeexit.training.teaching.teachers import (
    NO_TEACHER,
    TEACHER,
    TaughtNet,
    Teacher,
    check_teacher,
    create_teacher,
)

READ_EVERY = 16
"""Steps whose results are read together from a GPU: each reading waits until it has caught up."""

OnStep = Callable[[StepStatus], None]


class DivergedError(TrainingError):
    """The loss or a weight is no longer a finite number."""


class Trainer:
    """What changes while a run trains.

    Everything random is seeded from the run's seed and where it happens: the order from the epoch,
    an image's augmentation from the epoch and its index, dropout from the step. That is why a run
    goes on from any step without any stored random state, and why augmentation and order do not
    depend on the number of processes.

    Args:
        config: resolved, that is with a device that exists.
        data: what ``config.data`` names.
        world: the processes that train together.
        model: what to train where ``config.backbone`` is not registered; built after seeding.
        state: of the run that goes on.

    Attributes:
        started_from: the weights that the backbone started from; None for new ones, and for a run
            that goes on.
        phases: of the strategy, in order; each takes ``config.epochs`` epochs.

    Raises:
        UnknownNameError, SpecError: no such network, strategy or teacher.
        TrainingError: the images are fewer than a batch, the batch cannot be shared out, or
            ``model`` is another network.
        InputError: the device cannot compute what is asked for.
        CheckpointError, DataError: weights to start from, or the teacher's, could not be loaded;
            ``state`` is that of another network.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: ImageData,
        world: World,
        model: ModelSource | None = None,
        state: RunState | None = None,
    ) -> None:
        _check_execution(config, world)
        self.config, self.data, self.world = config, data, world
        self.steps = _steps_per_epoch(config, data, world)
        torch.manual_seed(_seed(config.seed, 0))
        check_teacher(config.distill)
        net, self.started_from = _network(config, data, world, model, state)
        self.phases = plan_phases(
            config.strategy,
            net,
            taught=config.distill != NO_TEACHER,
            backbone_is_trained=state is None and _is_trained(net, self.started_from),
        )
        self.teacher = self._teacher(model)
        if config.sync_batch_norm and world.size > 1:
            net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
        self.net = net.to(memory_format=memory_format(config)).to(world.device)
        self.learnable = [p for p in self.net.parameters() if p.requires_grad]
        self.sums = EpochSums.none(0)
        self._phase: Phase | None = None
        self._stepper: Stepper | None = None
        if state is not None:
            self._restore(state)

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return self.config.epochs * len(self.phases)

    @property
    def keeps_backbone(self) -> bool:
        """Whether no phase trains the backbone, which then stays as it is to the last bit."""
        inside = set(self.net.backbone.parameters())
        learning = {p for phase in self.phases for m in phase.modules for p in m.parameters()}
        return not inside & learning

    def final_accuracy(self) -> float:
        """Return the final exit's accuracy on the validation images; all processes have to ask."""
        return self._validate()[FINAL]

    @property
    def teacher_digest(self) -> str | None:
        """The fingerprint of a teacher that is another network."""
        return self.teacher.digest if isinstance(self.teacher, DarkKnowledge) else None

    def run_epoch(self, epoch: int, on_step: OnStep) -> EpochRecord:
        """Train for one epoch, or for the rest of one that a run goes on in; validate every exit.

        Args:
            epoch: counted from 1 over all phases.
            on_step: told where the epoch is, after steps whose loss was finite.

        Raises:
            DivergedError: the loss or a weight is no longer finite.
            DataError: an image cannot be read, or has a label that is no class.
        """
        stepper = self._enter(epoch)
        exits = stepper.phase.exits
        if not 0 < self.sums.steps < self.steps:
            self.sums = EpochSums.none(len(exits))
        lr = self._initial_rate(epoch)
        set_modes(self.net, stepper.phase)
        self._train(epoch, stepper, on_step)
        self.check_weights(epoch)
        total = self.total_sums()
        self.world.share_buffers(self.net)
        accuracy = self._validate()
        teacher_accuracy = accuracy.pop(TEACHER, None)
        return EpochRecord(
            epoch=epoch,
            loss=total.loss / total.samples,
            lr=lr,
            accuracy=accuracy,
            teacher_accuracy=teacher_accuracy,
            samples_per_second=total.samples * self.world.size / total.seconds,
            phase=stepper.phase.name,
            data_wait_share=total.waited_seconds / total.seconds,
        )

    def total_sums(self) -> EpochSums:
        """Return the epoch's sums over all processes; all of them have to ask."""
        return EpochSums.of(self.sums.steps, self.world.sum(self.sums.values))

    def check_weights(self, epoch: int) -> None:
        """Raise DivergedError where a weight is not finite."""
        if not all(bool(value.isfinite().all()) for value in self.net.state_dict().values()):
            raise DivergedError(self._diverged("weights", epoch, self.sums.steps))

    def stepper_state(self) -> dict[str, Any]:
        """Return the state of the phase's optimizer, rate and scale."""
        return {} if self._stepper is None else self._stepper.state_dict()

    def release(self) -> None:
        """Let everything learn again that could before, for whoever uses the network next."""
        for parameter in self.learnable:
            parameter.requires_grad_(True)

    def _train(self, epoch: int, stepper: Stepper, on_step: OnStep) -> None:
        """Take the epoch's remaining steps, and add them to the sums."""
        batches = self._batches(epoch, self.sums.steps)
        before, waited, unread = time.perf_counter(), 0.0, list[Tensor]()
        read_every = READ_EVERY if self.world.device.type == "cuda" else 1
        for step in range(self.sums.steps + 1, self.steps + 1):
            start = time.perf_counter()
            parts = list(islice(batches, self.config.accumulate))
            waited += time.perf_counter() - start
            torch.manual_seed(_seed(self.config.seed, epoch, step, self.world.rank))
            unread.append(stepper.step(parts))
            if len(unread) == read_every or step == self.steps:
                rows = torch.stack(unread).tolist()
                now = time.perf_counter()
                self._add(epoch, rows, now - before, waited)
                before, waited = now, 0.0
                unread.clear()
                on_step(self._status(epoch, stepper.phase))

    def _add(self, epoch: int, rows: list[list[float]], seconds: float, waited: float) -> None:
        """Add the results of steps to the sums: the loss, and the right answers of each exit."""
        sums, images = self.sums, self.config.batch_size // self.world.size
        for step, row in enumerate(rows, start=sums.steps + 1):
            if not math.isfinite(row[0]):
                raise DivergedError(self._diverged("loss", epoch, step))
        loss, *correct = (math.fsum(column) for column in zip(*rows, strict=True))
        self.sums = EpochSums(
            steps=sums.steps + len(rows),
            samples=sums.samples + images * len(rows),
            loss=sums.loss + loss,
            correct=tuple(a + b for a, b in zip(sums.correct, correct, strict=True)),
            seconds=sums.seconds + seconds,
            waited_seconds=sums.waited_seconds + waited,
        )

    def _status(self, epoch: int, phase: Phase) -> StepStatus:
        sums = self.sums
        shares = [count / sums.samples for count in sums.correct]
        return StepStatus(
            phase=phase.name,
            epoch=epoch,
            epochs=self.epochs,
            step=sums.steps,
            steps=self.steps,
            loss=sums.loss / sums.samples,
            accuracy=dict(zip(phase.exits, shares, strict=True)),
        )

    def _enter(self, epoch: int) -> Stepper:
        """Return the stepper of the phase that ``epoch`` belongs to."""
        phase = self.phases[(epoch - 1) // self.config.epochs]
        if phase is not self._phase or self._stepper is None:
            parameters = learn_only(phase, self.learnable)
            self._phase = phase
            self._stepper = Stepper(
                self.net,
                phase,
                parameters,
                self.config,
                self.world,
                self.teacher,
                self.config.epochs * self.steps,
            )
        return self._stepper

    def _initial_rate(self, epoch: int) -> float:
        """Return the rate at the epoch's first step, of a linear fall over its phase."""
        return self.config.lr * (1 - (epoch - 1) % self.config.epochs / self.config.epochs)

    def _restore(self, state: RunState) -> None:
        """Go back to where the run was when it was saved.

        Raises:
            CheckpointError: the state is that of another network.
        """
        stored = state.phases
        self.phases = tuple(phase for phase in self.phases if phase.name in stored)
        last = max(1, len(state.history) + (state.sums is not None))
        going_on = state.sums is not None or len(state.history) % self.config.epochs
        try:
            if tuple(phase.name for phase in self.phases) != stored:
                raise ValueError(f"phases {', '.join(stored)}")
            self.net.load_state_dict(state.checkpoint.weights)
            if going_on:
                stepper = self._enter(last)
                stepper.load_state_dict(state.stepper)
                if state.sums is not None:
                    none = EpochSums.none(len(stepper.phase.exits), state.sums.steps)
                    if len(state.sums.correct) != len(none.correct):
                        raise ValueError(f"sums of {len(state.sums.correct)} exits")
                    self.sums = state.sums if self.world.is_main else none
        except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
            raise CheckpointError(
                "last.pt does not fit the network that the run trains; start it anew with "
                "another -o"
            ) from error

    def _validate(self) -> dict[str, float]:
        """Return each exit's accuracy on the validation images, and the teacher's if any."""
        world, images = self.world, self.data.splits["val"]
        names = list(self.net.spec.exit_names)
        net: nn.Module = self.net
        if self.teacher is not None:
            net, names = TaughtNet(self.net, self.teacher), [*names, TEACHER]
        share = range(world.rank, len(images), world.size)
        correct = [0.0] * len(names)
        if share:
            predictions = predict(
                net, Subset(images, share), device=world.device, workers=self.config.workers
            )
            correct = predictions.correct.sum(axis=1).tolist()
        return {
            name: count / len(images) for name, count in zip(names, world.sum(correct), strict=True)
        }

    def _batches(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        config, world = self.config, self.world
        seed = _seed(config.seed, epoch)
        order = epoch_batches(
            len(self.data.training),
            config.batch_size,
            seed=seed,
            rank=world.rank,
            processes=world.size,
            parts=config.accumulate,
            first_step=first_step,
        )
        return iter(
            DataLoader(
                Seeded(self.data.training, seed),
                batch_sampler=order,
                num_workers=config.workers,
                pin_memory=world.device.type == "cuda",
                generator=torch.Generator(),  # the loader draws a seed, which nothing depends on
            )
        )

    def _teacher(self, model: ModelSource | None) -> Teacher | None:
        with self.world.main_first():  # it may fetch files
            teacher = create_teacher(self.config, self.data, model)
        if isinstance(teacher, DarkKnowledge):
            teacher.to(memory_format=memory_format(self.config)).to(self.world.device)
        return teacher

    def _diverged(self, what: str, epoch: int, step: int) -> str:
        return (
            f"the {what} became infinite or not a number in epoch {epoch}, step {step}: lower "
            f"--lr, now {self.config.lr}"
        )


def _network(
    config: TrainConfig,
    data: ImageData,
    world: World,
    model: ModelSource | None,
    state: RunState | None,
) -> tuple[MultiExitNet, LoadedWeights | None]:
    """Return the network to train and what it starts from; one that goes on has its weights."""
    if state is not None:
        return create_network(config, data, model, state.checkpoint.spec), None
    started = None
    if model is not None and not isinstance(model, MultiExitNet):
        model = create_model(model, len(data.class_names))
        started = load_model_weights(model, config)
    net = create_network(config, data, model, None)
    if started is None:
        with world.main_first():  # it may fetch files
            started = load_initial_weights(net, config)
    return net, started


def _is_trained(net: MultiExitNet, started_from: LoadedWeights | None) -> bool:
    """Whether the backbone is to be taken as trained: a model of the user's own is."""
    if started_from is not None:
        return not started_from.new
    return not net.spec.is_registered


def _steps_per_epoch(config: TrainConfig, data: ImageData, world: World) -> int:
    images, shares = len(data.training), config.accumulate * world.size
    if images < config.batch_size:
        raise TrainingError(
            f"expected at least one batch of {config.batch_size} training images, got {images} "
            "images: lower --batch-size or add images"
        )
    if config.batch_size % shares or config.batch_size < 2 * shares:
        raise TrainingError(
            f"a batch of {config.batch_size} images cannot be shared out to {world.size} processes "
            f"and {config.accumulate} accumulated parts with 2 or more each: choose a --batch-size "
            f"that is a multiple of {shares}, at least {2 * shares}"
        )
    return images // config.batch_size


def _check_execution(config: TrainConfig, world: World) -> None:
    """Raise InputError where the device cannot compute as ``config`` asks for."""
    if config.sync_batch_norm and world.device.type == "cpu":
        raise InputError(
            "--sync-batch-norm: torch synchronizes batch norm on GPUs alone; leave it out on the "
            "CPU"
        )
    if config.amp == "bf16" and world.device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError("--amp bf16: this GPU does not compute in bfloat16; use --amp fp16")


def _seed(seed: int, *place: int) -> int:
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0])
