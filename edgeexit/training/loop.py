"""Train a network from its configuration to a run's folder, epoch by epoch."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from edgeexit_runtime.bundle.schema import encode

from edgeexit.cost import network_cost
from edgeexit.data import ImageData, load_data
from edgeexit.errors import TrainingError, WriteError
from edgeexit.images.files import ImageError
from edgeexit.models.factories import ModelSource
from edgeexit.models.spec import OWN
from edgeexit.training.checkpoint import DEFAULT_THRESHOLD, Checkpoint
from edgeexit.training.distributed import World, joined_world
from edgeexit.training.network import (
    check_model,
    resolve_exits,
    resolve_input_size,
    resolve_outputs,
)
from edgeexit.training.record.folder import (
    RunFolder,
    RunState,
    check_same_classes,
    check_same_options,
)
from edgeexit.training.record.metrics import EpochRecord
from edgeexit.training.record.progress import RunPlan, RunProgress, StepStatus
from edgeexit.training.record.result import TrainResult
from edgeexit.training.record.tensorboard import tensorboard_log
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.steps.sums import EpochSums
from edgeexit.training.teaching.dark_knowledge import DarkKnowledge, fingerprint
from edgeexit.training.trainer import DivergedError, Trainer

EpochCallback = Callable[[EpochRecord], None]


class InterruptedRunError(TrainingError):
    """Ctrl-C; what was saved last is kept."""

    exit_code = 130


def train(
    config: TrainConfig,
    output: str | Path,
    *,
    resume: bool = False,
    on_epoch: EpochCallback | None = None,
    progress: RunProgress | None = None,
    model: ModelSource | None = None,
) -> TrainResult:
    """Train a network and write its checkpoints and metrics to the folder ``output``.

    Torch's global random numbers are seeded. On the CPU the result depends on ``config`` and the
    number of threads alone, whether or not the run was stopped and resumed in between.

    Started by ``torchrun``, every process calls this with the same arguments, and they train
    together; the first of them writes the files.

    Args:
        config: what to train. To resume, it must be the configuration that the run was started
            with, see :func:`stored_config`; device and folder of the data may differ.
        output: the run's folder: ``ckpt.pt`` (best epoch), ``last.pt``, ``metrics.jsonl``,
            ``config.toml``, and ``tensorboard/`` where TensorBoard is installed.
        resume: go on where the run in ``output`` was saved last, rather than start one there.
        on_epoch: called with each finished epoch, after it was saved.
        progress: told about steps, and in a line what the run starts from.
        model: for a backbone that is not registered: a module or what builds one, to put exits
            onto, or a network with its exits. A module is trained itself; one from a factory has
            the weights that the seed gives it. To resume, it is needed again.

    Raises:
        TrainingError: ``output`` holds a run already, or none to resume; other options than the
            run's; ``model`` is missing or does not fit ``config``; the loss is no longer finite.
        BusyError: another run is writing into ``output``.
        InterruptedRunError: Ctrl-C, with what was saved last kept.
        UnknownNameError, SpecError, InputError, DataError, CheckpointError, WriteError: see there.
    """
    folder = RunFolder(Path(output))
    with joined_world(config.device) as world, folder.held(world):
        progress = progress if world.is_main else None
        state = folder.load() if resume else None
        if state is None:
            folder.check_unused()
        world.wait()  # nobody writes into the folder before all have looked
        check_model(config, model, resume=resume)
        config = resolve_input_size(config, model)
        with world.main_first():  # it may fetch files
            data = load_data(config.data)
        config = _resolve(config, data, world, model)
        if state is not None:
            check_same_options(folder, state.config, config)
            check_same_classes(folder, state, data.class_names)
            if len(state.history) >= state.epochs:
                _remark(
                    progress,
                    f"{output} is finished: epoch {state.epochs} of {state.epochs} is done",
                )
                return TrainResult(folder.best, folder.last, config, state.history, True)
        trainer = Trainer(config, data, world, model, state)
        if state is not None:
            _check_same_teacher(folder, state, trainer)
        run = _Run(trainer, folder, state, on_epoch, progress)
        run.finish()
        return TrainResult(folder.best, folder.last, config, run.history, False)


def stored_config(output: str | Path) -> TrainConfig:
    """Return the configuration of the run in the folder ``output``.

    Raises:
        TrainingError: there is no run in it.
        CheckpointError: the run's last checkpoint is damaged or of a newer format.
    """
    return RunFolder(Path(output)).load().config


class _Run:
    """A run from where it is to its last epoch."""

    def __init__(
        self,
        trainer: Trainer,
        folder: RunFolder,
        state: RunState | None,
        on_epoch: EpochCallback | None,
        progress: RunProgress | None,
    ) -> None:
        self.trainer, self.folder = trainer, folder
        self.on_epoch, self.progress = on_epoch, progress
        self.history: tuple[EpochRecord, ...] = () if state is None else state.history
        self.saved = "nothing is saved"
        self.saved_at = time.monotonic()
        started = trainer.started_from
        self.started_from = None if started is None else str(started)
        if state is not None:
            self.started_from = state.checkpoint.training.get("started_from")
            self.saved = self._place(state.sums)
        self._tell(state)

    def finish(self) -> None:
        """Train to the end, saving on the way."""
        trainer, main = self.trainer, self.trainer.world.is_main
        kept = _KeptBackbone(trainer) if trainer.keeps_backbone else None
        if kept is not None:
            _remark(self.progress, kept.before())
        board = tensorboard_log(self.folder.path, len(self.history)) if main else None
        try:
            if main:
                self.folder.remove_leftovers()
                self.folder.write_config(trainer.config)
            if not self.history and not trainer.sums.steps:
                self._save(None)
            for epoch in range(len(self.history) + 1, trainer.epochs + 1):
                record = trainer.run_epoch(epoch, self._on_step)
                self.history = (*self.history, record)
                if board is not None:  # before it is saved: to go on hides what is written twice
                    board.write(record)
                self._save(None)
                if self.on_epoch is not None and main:
                    self.on_epoch(record)
            if kept is not None:
                _remark(self.progress, kept.after())
        except KeyboardInterrupt:
            raise InterruptedRunError(f"interrupted: {self.saved}") from None
        except WriteError as error:
            raise WriteError(f"{error}; {self.saved}") from error
        except ImageError as error:
            if trainer.config.data.skip_corrupt:  # it was damaged after it had been looked at
                raise
            raise ImageError(f"{error}, or leave out all such with --skip-corrupt") from error
        except DivergedError as error:
            raise TrainingError(f"{error}; {self.saved.partition(';')[0]}") from error
        finally:
            trainer.release()
            if board is not None:
                board.close()

    def _on_step(self, status: StepStatus) -> None:
        if self.progress is not None:
            self.progress.step(status)
        age = time.monotonic() - self.saved_at
        due = age >= 60 * self.trainer.config.save_minutes and status.step < status.steps
        if self.trainer.world.as_main(due):
            self.trainer.check_weights(status.epoch)
            self._save(self.trainer.total_sums())

    def _save(self, sums: EpochSums | None) -> None:
        if self.trainer.world.is_main:
            self.folder.save(_state(self.trainer, self.history, sums, self.started_from))
        self.saved = self._place(sums)
        self.saved_at = time.monotonic()

    def _place(self, sums: EpochSums | None) -> str:
        """Say what is saved, and how to go on."""
        epochs = len(self.history)
        place = f"epoch {epochs}" if epochs else "the start"
        if sums is not None:
            place = f"step {sums.steps} of {self.trainer.steps} in epoch {epochs + 1}"
        return f"{self.folder.last} holds {place}; continue it with --resume"

    def _tell(self, state: RunState | None) -> None:
        """Tell what the run will do and what it starts from."""
        trainer = self.trainer
        if self.progress is not None:
            cost = network_cost(trainer.net)
            plan = RunPlan(trainer.config, trainer.data, cost, trainer.epochs, trainer.steps)
            self.progress.begin(plan)
        if state is not None:
            where = f" and {state.sums.steps} steps" if state.sums is not None else ""
            _remark(
                self.progress,
                f"continuing after epoch {len(self.history)}{where} of {trainer.epochs}",
            )
            return
        if self.started_from is not None:
            _remark(self.progress, f"starting from {self.started_from}")
        if trainer.net.spec.points:
            _remark(self.progress, f"exits behind {', '.join(trainer.net.spec.points)}")
        if trainer.net.spec.outputs:
            _remark(self.progress, f"its own exits: outputs {', '.join(trainer.net.spec.outputs)}")
        for note in trainer.net.notes:
            _remark(self.progress, note)
        if isinstance(trainer.teacher, DarkKnowledge):
            _remark(self.progress, f"taught by {trainer.teacher.source}")
        if len(trainer.phases) > 1:
            names = ", ".join(phase.name for phase in trainer.phases)
            _remark(self.progress, f"{trainer.config.epochs} epochs each: {names}")


class _KeptBackbone:
    """A trained backbone that only branches are put on: it is measured, and must not change."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.weights = fingerprint(trainer.net.backbone)

    def before(self) -> str:
        """Say what it is worth; all processes have to ask."""
        return f"the backbone stays as it is: final {self.trainer.final_accuracy():.2%} on val"

    def after(self) -> str:
        """Say what it is worth by now; all processes have to ask.

        Raises:
            TrainingError: it is no longer what it was, bit by bit.
        """
        if fingerprint(self.trainer.net.backbone) != self.weights:
            raise TrainingError(
                f"{self.trainer.config.backbone} changes weights of its own when it runs, though "
                "nothing trains them: branches-only cannot keep it as it is"
            )
        return f"the backbone is unchanged: final {self.trainer.final_accuracy():.2%} on val"


def _remark(progress: RunProgress | None, text: str) -> None:
    if progress is not None:
        progress.remark(text)


def _check_same_teacher(folder: RunFolder, state: RunState, trainer: Trainer) -> None:
    if state.checkpoint.training.get("teacher_digest") != trainer.teacher_digest:
        raise TrainingError(
            f"{folder.path} was started with a teacher of other weights than "
            f"{trainer.config.teacher}: give it that one with --teacher, or choose another -o"
        )


def _state(
    trainer: Trainer,
    history: tuple[EpochRecord, ...],
    sums: EpochSums | None,
    started_from: str | None,
) -> RunState:
    config, spec = trainer.config, trainer.net.spec
    versions = {
        "edgeexit": importlib.metadata.version("edgeexit"),
        "torch": str(torch.__version__),  # its type is torch's own, which a checkpoint may not hold
    }
    training: dict[str, Any] = {
        "config": encode(config),
        "epoch": len(history),
        "phases": [phase.name for phase in trainer.phases],
        "started_from": started_from,
        "teacher_digest": trainer.teacher_digest,
        "versions": versions,
    }
    checkpoint = Checkpoint(
        spec=spec,
        weights=trainer.net.state_dict(),
        preprocessing=trainer.data.preprocessing,
        class_names=trainer.data.class_names,
        thresholds=dict.fromkeys(spec.exit_names[:-1], DEFAULT_THRESHOLD),
        data=config.data,
        training=training,
        metrics=_metrics(history[-1]) if history and sums is None else {},
    )
    return RunState(checkpoint, history, trainer.stepper_state(), sums)


def _metrics(record: EpochRecord) -> dict[str, Any]:
    return {
        "split": "val",
        "accuracy": record.accuracy,
        "mean_accuracy": record.mean_accuracy,
        "teacher_accuracy": record.teacher_accuracy,
    }


def _resolve(
    config: TrainConfig, data: ImageData, world: World, model: ModelSource | None
) -> TrainConfig:
    """Return ``config`` with what it left open filled in."""
    registered = ":" not in config.backbone
    outputs = resolve_outputs(config, model)
    return replace(
        config,
        branches=OWN if outputs else config.branches,
        outputs=outputs,
        data=replace(
            config.data,
            input_size=data.preprocessing.input_size,
            augmentation=data.augmentation,
        ),
        device=world.device.type,
        exits=resolve_exits(config, model),
        channels_last=registered if config.channels_last is None else config.channels_last,
    )
