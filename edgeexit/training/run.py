"""A training run: all remaining epochs, saved after each and during long ones."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch
from edgeexit_runtime.bundle.schema import encode

from edgeexit.errors import TrainingError, WriteError
from edgeexit.images.files import ImageError
from edgeexit.models.spec import FINAL
from edgeexit.training.checkpoint import Checkpoint, checkpoint_of, weights_digest
from edgeexit.training.record.folder import RunFolder, SavedRun
from edgeexit.training.record.reports import EpochRecord, StepStatus
from edgeexit.training.record.tensorboard import tensorboard_log
from edgeexit.training.setup import TrainSetup
from edgeexit.training.steps.sums import EpochSums
from edgeexit.training.teaching.dark_knowledge import DarkKnowledge
from edgeexit.training.trainer import Trainer

EpochCallback = Callable[[EpochRecord], None]


class RunProgress(Protocol):
    """Receives the progress of a training run."""

    def begin(self, setup: TrainSetup) -> None:
        """Receive the setup, before the first step of a new or resumed run."""

    def remark(self, text: str) -> None:
        """Receive a line about the run, such as what it starts from."""

    def step(self, status: StepStatus) -> None:
        """Receive the state after a step; on a GPU, not after every step."""


class InterruptedRunError(TrainingError):
    """Ctrl-C; the last saved state is kept."""

    exit_code = 130


class TrainingRun:
    """Trains epoch by epoch, saves each, and reports progress.

    Args:
        setup: the network, its data and the configuration.
        folder: the run's folder.
        saved: the run to resume; None for a new one.
        on_epoch: called with each finished epoch after it was saved.
        progress: receives the setup, remarks and steps; None for no reports.

    Attributes:
        history: every finished epoch.

    Raises:
        CheckpointError: ``saved`` is a run of another network.
    """

    def __init__(
        self,
        setup: TrainSetup,
        folder: RunFolder,
        saved: SavedRun | None,
        on_epoch: EpochCallback | None,
        progress: RunProgress | None,
    ) -> None:
        self.setup, self.folder, self.saved = setup, folder, saved
        self.trainer = Trainer(setup, saved)
        self.on_epoch, self.progress = on_epoch, progress
        self.history: tuple[EpochRecord, ...] = ()
        self._started_from = None if setup.started_from is None else str(setup.started_from)
        self._what_is_saved = "nothing is saved"
        self._saved_at = time.monotonic()
        if saved is not None:
            self.history = saved.history
            self._started_from = saved.checkpoint.training.get("started_from")
            self._what_is_saved = self._place(saved.sums)

    def finish(self) -> None:
        """Train all remaining epochs.

        Raises:
            InterruptedRunError: Ctrl-C.
            TrainingError, WriteError, DataError: it cannot continue; the last save is kept.
        """
        self._begin()
        main, done = self.setup.world.is_main, len(self.history)
        board = tensorboard_log(self.folder.path, done) if main else nullcontext(None)
        try:
            with board as log, self._with_what_is_saved(), self._backbone_kept():
                if main:
                    self.folder.remove_leftovers()
                    self.folder.write_config(self.setup.config)
                if not self.history and not self.trainer.sums.steps:
                    self._save(None)
                for epoch in range(done + 1, self.setup.epochs + 1):
                    record = self.trainer.run_epoch(epoch, self._on_step)
                    self.history = (*self.history, record)
                    if log is not None:  # before saving: a resumed run hides repeated epochs
                        log(record)
                    self._save(None)
                    if self.on_epoch is not None and main:
                        self.on_epoch(record)
        finally:
            self.trainer.release()

    def _on_step(self, status: StepStatus) -> None:
        if self.progress is not None:
            self.progress.step(status)
        age = time.monotonic() - self._saved_at
        due = age >= 60 * self.setup.config.save_minutes and status.step < status.steps
        if self.setup.world.as_main(due):
            self.trainer.check_weights(status.epoch)
            self._save(self.trainer.total_sums())

    def _save(self, sums: EpochSums | None) -> None:
        """Save the run, between two epochs (None) or with the sums of the unfinished one."""
        if self.setup.world.is_main:
            checkpoint = _checkpoint(self.setup, self.history, self._started_from, sums is None)
            state = self.trainer.stepper_state()
            self.folder.save(SavedRun(checkpoint, self.history, state, sums))
        self._what_is_saved = self._place(sums)
        self._saved_at = time.monotonic()

    def _place(self, sums: EpochSums | None) -> str:
        """Return a sentence that says what is saved and how to continue."""
        epochs = len(self.history)
        place = f"epoch {epochs}" if epochs else "the start"
        if sums is not None:
            place = f"step {sums.steps} of {self.setup.steps} in epoch {epochs + 1}"
        return f"{self.folder.last} holds {place}; continue it with --resume"

    @contextmanager
    def _with_what_is_saved(self) -> Iterator[None]:
        """Add what is saved of the run to the message of an error that ends it."""
        try:
            yield
        except KeyboardInterrupt:
            raise InterruptedRunError(f"interrupted: {self._what_is_saved}") from None
        except WriteError as error:
            raise WriteError(f"{error}; {self._what_is_saved}") from error
        except ImageError as error:
            if self.setup.config.data.skip_corrupt:  # it was damaged after the check
                raise
            raise ImageError(f"{error}, or skip all such files with --skip-corrupt") from error
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._what_is_saved.partition(';')[0]}") from error

    @contextmanager
    def _backbone_kept(self) -> Iterator[None]:
        """If no phase trains the backbone, validate it before and after: it must not change.

        Raises:
            TrainingError: its weights are not bit for bit the same.
        """
        setup = self.setup
        if not setup.keeps_backbone:
            yield
            return
        weights = weights_digest(setup.net.backbone.state_dict())
        final = self.trainer.validate()[FINAL]
        self._remark(f"the backbone is frozen: final {final:.2%} on val")
        yield
        if weights_digest(setup.net.backbone.state_dict()) != weights:
            raise TrainingError(
                f"{setup.config.backbone} changes its own weights when it runs, although nothing "
                "trains them: branches-only cannot keep it unchanged"
            )
        final = self.trainer.validate()[FINAL]
        self._remark(f"the backbone is unchanged: final {final:.2%} on val")

    def _begin(self) -> None:
        """Report the setup of the run and what it starts from."""
        if self.progress is not None:
            self.progress.begin(self.setup)
            for line in self._first_lines():
                self.progress.remark(line)

    def _first_lines(self) -> Iterator[str]:
        """Yield remarks on what the run starts from, one line each."""
        setup, spec, saved = self.setup, self.setup.net.spec, self.saved
        if saved is not None:
            where = f" and {saved.sums.steps} steps" if saved.sums is not None else ""
            yield f"continuing after epoch {len(saved.history)}{where} of {setup.epochs}"
            return
        if self._started_from is not None:
            yield f"starting from {self._started_from}"
        if spec.points:
            yield f"exits after {', '.join(spec.points)}"
        if spec.outputs:
            yield f"its own exits: outputs {', '.join(spec.outputs)}"
        yield from setup.net.notes
        if isinstance(setup.teacher, DarkKnowledge):
            yield f"taught by {setup.teacher.source}"
        if len(setup.phases) > 1:
            names = ", ".join(phase.name for phase in setup.phases)
            yield f"{setup.config.epochs} epochs each: {names}"

    def _remark(self, text: str) -> None:
        if self.progress is not None:
            self.progress.remark(text)


def _checkpoint(
    setup: TrainSetup,
    history: tuple[EpochRecord, ...],
    started_from: str | None,
    is_validated: bool,
) -> Checkpoint:
    """Return a checkpoint of the network's current state."""
    versions = {
        "edgeexit": importlib.metadata.version("edgeexit"),
        "torch": str(torch.__version__),  # a str subclass of torch, not allowed in a checkpoint
    }
    metrics: dict[str, Any] = {}
    if history and is_validated:
        metrics = {
            "split": "val",
            "accuracy": history[-1].accuracy,
            "mean_accuracy": history[-1].mean_accuracy,
            "teacher_accuracy": history[-1].teacher_accuracy,
        }
    training: dict[str, Any] = {
        "config": encode(setup.config),
        "epoch": len(history),
        "phases": [phase.name for phase in setup.phases],
        "started_from": started_from,
        "teacher_digest": setup.teacher_digest,
        "versions": versions,
    }
    checkpoint = checkpoint_of(setup.net, setup.data, setup.config.data)
    return replace(checkpoint, training=training, metrics=metrics)
