"""A run at the moment that it was saved: data, and what ``last.pt`` holds of it."""

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
    """A run at the moment that it was saved.

    Attributes:
        checkpoint: the network at that moment.
        history: every finished epoch.
        stepper: the optimizer, the rate and the scale of the phase, see
            :meth:`edgeexit.training.steps.stepper.Stepper.state_dict`.
        sums: of the epoch that was going on; None between two epochs.
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
        """The names of the phases that the run consists of."""
        stored = self.checkpoint.training.get("phases")
        return decode(tuple[str, ...], stored, "training.phases")

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return self.config.epochs * len(self.phases)


def to_entry(saved: SavedRun) -> dict[str, Any]:
    """Return what is stored of a run beside its checkpoint."""
    return {
        "history": encode(saved.history),
        "stepper": saved.stepper,
        "sums": encode(saved.sums),
    }


def read_entry(checkpoint: Checkpoint, entry: Any) -> SavedRun:
    """Return the run that a checkpoint and what was stored beside it describe, all but the stepper
    checked.

    Raises:
        KeyError, TypeError, SchemaError: it is no run.
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
