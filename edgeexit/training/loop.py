"""From a configuration to a run folder with checkpoints: epoch after epoch, stopped and resumed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from edgeexit_runtime.schema import encode

from edgeexit.data import ImageData, load_data
from edgeexit.devices import resolve_device
from edgeexit.errors import TrainingError, WriteError
from edgeexit.models.factories import ModelSource
from edgeexit.training.checkpoint import DEFAULT_THRESHOLD, Checkpoint
from edgeexit.training.config import TrainConfig
from edgeexit.training.metrics import EpochRecord, best_record
from edgeexit.training.network import check_model, resolve_exits
from edgeexit.training.run import RunFolder, RunState, check_same_options
from edgeexit.training.trainer import DivergedError, Trainer

__all__ = ["InterruptedRunError", "Progress", "TrainResult", "stored_config", "train"]

EpochCallback = Callable[[EpochRecord], None]


class InterruptedRunError(TrainingError):
    """Ctrl-C; the last finished epoch is saved."""

    exit_code = 130


class Progress(Protocol):
    """Who is told how far training is."""

    def remark(self, text: str) -> None:
        """Take a line about the run, such as where it starts."""

    def batch(self, epoch: int, done: int, total: int) -> None:
        """Take the number of batches done in the epoch, and of all in it."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run left behind.

    Attributes:
        checkpoint: the best epoch's file, by mean validation accuracy over all exits.
        last: the last epoch's file, with what resuming needs.
        config: resolved.
        history: every epoch.
        finished_before: nothing was done, because the run was already finished.
    """

    checkpoint: Path
    last: Path
    config: TrainConfig
    history: tuple[EpochRecord, ...]
    finished_before: bool

    @property
    def best(self) -> EpochRecord:
        """The epoch that ``checkpoint`` holds."""
        return best_record(self.history)


def train(
    config: TrainConfig,
    output: Path,
    *,
    resume: bool = False,
    on_epoch: EpochCallback | None = None,
    progress: Progress | None = None,
    model: ModelSource | None = None,
) -> TrainResult:
    """Train a network and write its checkpoints and metrics to the folder ``output``.

    Torch's global random numbers are seeded. On the CPU the result depends on ``config`` and the
    number of threads alone, whether or not the run was stopped and resumed in between.

    Args:
        config: what to train. To resume, it must be the configuration that the run was started
            with, see :func:`stored_config`; device and folder of the data may differ.
        output: the run's folder: ``ckpt.pt`` (best epoch), ``last.pt``, ``metrics.jsonl``,
            ``config.json``.
        resume: go on after the last epoch of the run in ``output``, rather than start one there.
        on_epoch: called with each finished epoch, after it was saved.
        progress: told about every batch.
        model: for a backbone that is not registered: a module or what builds one, to put exits
            onto, or a network with its exits. A module is trained itself; one from a factory has
            the weights that the seed gives it. To resume, it is needed again.

    Raises:
        TrainingError: ``output`` holds a run already, or none to resume; other options than the
            run's; ``model`` is missing or does not fit ``config``; the loss is no longer finite.
        InterruptedRunError: Ctrl-C, with the last finished epoch saved.
        UnknownNameError, SpecError, DataError, CheckpointError, WriteError: see there.
    """
    folder = RunFolder(output)
    state = folder.load() if resume else None
    if state is None:
        folder.check_unused()
    check_model(config, model, resume=resume)
    device = resolve_device(config.device)
    data = load_data(config.data)
    config = _resolve(config, data, device, model)
    if state is not None:
        check_same_options(folder, state.config, config)
        if len(state.history) >= config.epochs:
            if progress is not None:
                progress.remark(
                    f"{output} is finished: epoch {config.epochs} of {config.epochs} is done"
                )
            return TrainResult(folder.best, folder.last, config, state.history, True)
    trainer = Trainer(config, data, model, None if state is None else state.checkpoint.spec)
    pretrained = _begin(trainer, state, progress)
    folder.write_config(config)
    history = () if state is None else state.history
    folder.write_metrics(history)
    history = _run(trainer, folder, history, pretrained, on_epoch, progress)
    return TrainResult(folder.best, folder.last, config, history, False)


def stored_config(output: Path) -> TrainConfig:
    """Return the configuration of the run in the folder ``output``.

    Raises:
        TrainingError: there is no run in it.
        CheckpointError: the run's last checkpoint is damaged or of a newer format.
    """
    return RunFolder(output).load().config


def _begin(trainer: Trainer, state: RunState | None, progress: Progress | None) -> str | None:
    """Bring the trainer to the state that it starts from; return which public weights, if any."""
    pretrained: str | None = None
    remark = ""
    points = trainer.net.spec.points
    if state is not None:
        trainer.restore(state)
        pretrained = state.checkpoint.training.get("pretrained")
        remark = f"continuing after epoch {len(state.history)} of {trainer.config.epochs}"
    elif trainer.config.pretrained:
        pretrained = trainer.load_pretrained()
        remark = f"starting from {pretrained}"
    elif points:
        remark = f"exits behind {', '.join(points)}"
    if remark and progress is not None:
        progress.remark(remark)
    return pretrained


def _run(
    trainer: Trainer,
    folder: RunFolder,
    history: tuple[EpochRecord, ...],
    pretrained: str | None,
    on_epoch: EpochCallback | None,
    progress: Progress | None,
) -> tuple[EpochRecord, ...]:
    """Train from the epoch after ``history`` to the last; return all of it."""
    epochs = range(len(history) + 1, trainer.config.epochs + 1)
    try:
        for epoch in epochs:

            def on_batch(done: int, total: int, epoch: int = epoch) -> None:
                if progress is not None:
                    progress.batch(epoch, done, total)

            record = trainer.run_epoch(epoch, on_batch)
            folder.save(_state(trainer, (*history, record), pretrained))
            history = (*history, record)
            if on_epoch is not None:
                on_epoch(record)
    except KeyboardInterrupt:
        raise InterruptedRunError(f"interrupted: {_kept(folder, history)}") from None
    except WriteError as error:
        raise WriteError(f"{error}; {_kept(folder, history)}") from error
    except DivergedError as error:
        raise TrainingError(f"{error}; {_kept(folder, history, resumable=False)}") from error
    return history


def _kept(folder: RunFolder, history: tuple[EpochRecord, ...], *, resumable: bool = True) -> str:
    if not history:
        return "no epoch was finished, so nothing is saved"
    advice = "; continue it with --resume" if resumable else ""
    return f"{folder.last} holds epoch {len(history)}{advice}"


def _state(trainer: Trainer, history: tuple[EpochRecord, ...], pretrained: str | None) -> RunState:
    config, record, spec = trainer.config, history[-1], trainer.net.spec
    versions = {
        "edgeexit": importlib.metadata.version("edgeexit"),
        "torch": str(torch.__version__),  # its type is torch's own, which a checkpoint may not hold
    }
    training: dict[str, Any] = {
        "config": encode(config),
        "epoch": record.epoch,
        "pretrained": pretrained,
        "versions": versions,
    }
    metrics: dict[str, Any] = {
        "split": "val",
        "accuracy": record.accuracy,
        "mean_accuracy": record.mean_accuracy,
        "teacher_accuracy": record.teacher_accuracy,
    }
    checkpoint = Checkpoint(
        spec=spec,
        weights=trainer.net.state_dict(),
        preprocessing=trainer.data.preprocessing,
        class_names=trainer.data.class_names,
        thresholds=dict.fromkeys(spec.exit_names[:-1], DEFAULT_THRESHOLD),
        data=config.data,
        training=training,
        metrics=metrics,
    )
    return RunState(
        checkpoint, history, trainer.optimizer.state_dict(), trainer.scheduler.state_dict()
    )


def _resolve(
    config: TrainConfig, data: ImageData, device: str, model: ModelSource | None
) -> TrainConfig:
    """Return ``config`` with what it left open filled in."""
    return replace(
        config,
        data=replace(config.data, input_size=data.preprocessing.input_size),
        device=device,
        exits=resolve_exits(config, model),
    )
