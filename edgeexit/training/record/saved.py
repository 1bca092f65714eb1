"""The saved state of a run, and its entry in ``last.pt``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.bundle.schema import SchemaError, decode, encode

from edgeexit.training.checkpoint import Checkpoint
from edgeexit.training.record.metrics import EpochRecord
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.steps.sums import EpochSums


@dataclass(frozen=True, slots=True, eq=False)
class SavedRun:
    """The state of a run when it was saved.

    Attributes:
        checkpoint: the network at that time.
        history: metrics of every finished epoch.
        stepper: state of the phase's optimizer, learning rate schedule and loss scaler, see
            :meth:`edgeexit.training.steps.stepper.Stepper.state_dict`.
        sums: sums of the unfinished epoch; None between two epochs.
    """

    checkpoint: Checkpoint
    history: tuple[EpochRecord, ...]
    stepper: dict[str, Any]
    sums: EpochSums | None = None

    @property
    def config(self) -> TrainConfig:
        """The configuration that the run was started with."""
        return decode(TrainConfig, self.checkpoint.training.get("config"), "training.config")

    @property
    def phases(self) -> tuple[str, ...]:
        """The names of the run's phases."""
        stored = self.checkpoint.training.get("phases")
        return decode(tuple[str, ...], stored, "training.phases")

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return self.config.epochs * len(self.phases)


def to_entry(saved: SavedRun) -> dict[str, Any]:
    """Return the values that are stored for a run in addition to its checkpoint."""
    return {
        "history": encode(saved.history),
        "stepper": saved.stepper,
        "sums": encode(saved.sums),
    }


def read_entry(checkpoint: Checkpoint, entry: Any) -> SavedRun:
    """Return the run from its checkpoint and its entry; everything but the stepper is checked.

    Raises:
        KeyError, TypeError, SchemaError: ``entry`` is not a valid run.
    """
    if not isinstance(entry, dict):
        raise TypeError("run: expected an object")
    history = decode(tuple[EpochRecord, ...], entry["history"], "history")
    sums = None if entry["sums"] is None else decode(EpochSums, entry["sums"], "sums")
    saved = SavedRun(checkpoint, history, entry["stepper"], sums)
    if len(history) > saved.epochs:
        raise SchemaError(f"history: expected {saved.epochs} epochs, got {len(history)}")
    for epoch, record in enumerate(history, start=1):
        if record.epoch != epoch or set(record.accuracy) != set(checkpoint.spec.exit_names):
            raise SchemaError(f"history: expected every exit's accuracy in epoch {epoch}")
    return saved
