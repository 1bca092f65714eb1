"""Set up a run: everything that stays the same while it trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from edgeexit.data import ImageData
from edgeexit.errors import CheckpointError, InputError, TrainingError
from edgeexit.models.factories import ModelSource, create_model
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.weights.fitting import LoadedWeights
from edgeexit.training.distributed import World
from edgeexit.training.initial import load_initial_weights, load_model_weights
from edgeexit.training.network import create_network
from edgeexit.training.record.folder import SavedRun
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.steps.loading import seed_at
from edgeexit.training.steps.stepper import memory_format
from edgeexit.training.steps.strategies import Phase, plan_phases
from edgeexit.training.teaching.dark_knowledge import DarkKnowledge
from edgeexit.training.teaching.teachers import (
    NO_TEACHER,
    Teacher,
    check_teacher,
    create_teacher,
)

OTHER_NETWORK = (
    "last.pt does not fit the network that the run trains; start a new run with another -o"
)


@dataclass(frozen=True, slots=True, eq=False)
class TrainSetup:
    """Network, data and configuration of a run.

    Attributes:
        config: resolved, with a device that exists.
        data: the data of ``config.data``.
        world: the training processes.
        net: the network, on the device; training changes its weights.
        started_from: initial weights of the backbone; None for random ones and for a resumed run.
        phases: phases of the strategy, in order; each takes ``config.epochs`` epochs.
        teacher: teacher of the phases with ``taught`` set; None without.
    """

    config: TrainConfig
    data: ImageData
    world: World
    net: MultiExitNet
    started_from: LoadedWeights | None
    phases: tuple[Phase, ...]
    teacher: Teacher | None

    @property
    def steps(self) -> int:
        """Steps per epoch; images left over after the last full batch are not used in it."""
        return len(self.data.training) // self.config.batch_size

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return self.config.epochs * len(self.phases)

    @property
    def keeps_backbone(self) -> bool:
        """Whether no phase trains the backbone, which then must stay bit for bit the same."""
        inside = set(self.net.backbone.parameters())
        learning = {p for phase in self.phases for m in phase.modules for p in m.parameters()}
        return not inside & learning

    @property
    def teacher_digest(self) -> str | None:
        """Fingerprint of a ``dk`` teacher, which is another network; None for other teachers."""
        return self.teacher.digest if isinstance(self.teacher, DarkKnowledge) else None

    def phase_of(self, epoch: int) -> Phase:
        """Return the phase of an epoch, counted from 1 over all phases."""
        return self.phases[(epoch - 1) // self.config.epochs]


def set_up(
    config: TrainConfig,
    data: ImageData,
    world: World,
    model: ModelSource | None = None,
    saved: SavedRun | None = None,
) -> TrainSetup:
    """Build the network, its teacher and its phases; torch's global random generator is seeded.

    Args:
        config: resolved.
        data: the data of ``config.data``.
        world: the training processes.
        model: the model if ``config.backbone`` is not registered; a factory is called after
            seeding.
        saved: the run to resume; None for a new one.

    Raises:
        UnknownNameError, SpecError: no such network, strategy or teacher.
        TrainingError: there are fewer images than a batch, the batch cannot be divided evenly, or
            ``model`` is another network.
        InputError: the device does not support the options.
        CheckpointError, DataError: initial weights or the teacher's could not be loaded, or
            ``saved`` is a run of another strategy.
    """
    _check_execution(config, world)
    _check_batches(config, data, world)
    torch.manual_seed(seed_at(config.seed, 0))
    check_teacher(config.distill)
    net, started_from = _network(config, data, world, model, saved)
    # a user's own model counts as trained even without initial weights
    is_trained = not net.spec.is_registered if started_from is None else not started_from.new
    phases = plan_phases(
        config.strategy,
        net,
        taught=config.distill != NO_TEACHER,
        backbone_is_trained=saved is None and is_trained,
    )
    if saved is not None:
        phases = _going_on(phases, saved)
    with world.main_first():  # it may fetch files
        teacher = create_teacher(config, data, model)
    if config.sync_batch_norm and world.size > 1:
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)  # type: ignore[no-untyped-call]
    for network in (net, teacher):
        if isinstance(network, nn.Module):
            network.to(memory_format=memory_format(config)).to(world.device)
    return TrainSetup(config, data, world, net, started_from, phases, teacher)


def _check_execution(config: TrainConfig, world: World) -> None:
    """Raise InputError if the device does not support an option of ``config``."""
    if config.sync_batch_norm and world.device.type == "cpu":
        raise InputError(
            "--sync-batch-norm: torch synchronizes batch norm only on GPUs; omit it on the CPU"
        )
    if config.amp == "bf16" and world.device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError("--amp bf16: this GPU does not compute in bfloat16; use --amp fp16")


def _check_batches(config: TrainConfig, data: ImageData, world: World) -> None:
    """Raise TrainingError if there is no full batch, or it cannot be divided evenly."""
    images, shares = len(data.training), config.accumulate * world.size
    if images < config.batch_size:
        raise TrainingError(
            f"expected at least one batch of {config.batch_size} training images, got {images} "
            "images: lower --batch-size or add images"
        )
    if config.batch_size % shares or config.batch_size < 2 * shares:
        raise TrainingError(
            f"a batch of {config.batch_size} images cannot be divided among {world.size} processes "
            f"and {config.accumulate} accumulated parts with 2 or more each: choose a --batch-size "
            f"that is a multiple of {shares}, at least {2 * shares}"
        )


def _network(
    config: TrainConfig,
    data: ImageData,
    world: World,
    model: ModelSource | None,
    saved: SavedRun | None,
) -> tuple[MultiExitNet, LoadedWeights | None]:
    """Return the network and its initial weights; a resumed run restores its own later."""
    if saved is not None:
        return create_network(config, data, model, saved.checkpoint.spec), None
    started = None
    if model is not None and not isinstance(model, MultiExitNet):
        model = create_model(model, len(data.class_names))
        started = load_model_weights(model, config)
    net = create_network(config, data, model, None)
    if started is None:
        with world.main_first():  # it may fetch files
            started = load_initial_weights(net, config)
    return net, started


def _going_on(phases: tuple[Phase, ...], saved: SavedRun) -> tuple[Phase, ...]:
    """Return the phases that the run was started with: one may have been omitted.

    Raises:
        CheckpointError: the run has other phases.
    """
    kept = tuple(phase for phase in phases if phase.name in saved.phases)
    if tuple(phase.name for phase in kept) != saved.phases:
        raise CheckpointError(OTHER_NETWORK)
    return kept
