"""A run's folder: its files, written during training and read to resume.

``last.pt`` is a checkpoint plus the training state. The other files are derived from the same
state and written before it, so that they are complete whenever it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexit_runtime.bundle.schema import SchemaError, decode, encode

from edgeexit.errors import BusyError, CheckpointError, EdgeExitError, TrainingError
from edgeexit.files import remove_leftovers, replace_file, write_into
from edgeexit.plain_file import read_plain, write_plain
from edgeexit.training.checkpoint import Checkpoint, from_plain, save_checkpoint, to_plain
from edgeexit.training.distributed import World
from edgeexit.training.record.reports import EpochRecord, best_record
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.settings.config_file import is_written_config, write_config
from edgeexit.training.steps.sums import EpochSums

_ENTRY = "run"  # of last.pt


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


class RunFolder:
    """The folder of one run and the files in it.

    Attributes:
        path: the folder.
        best, last: checkpoints of the best and of the last epoch.
        config, metrics: the resolved configuration, and a line for each epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best, self.last = path / "ckpt.pt", path / "last.pt"
        self.config, self.metrics = path / "config.toml", path / "metrics.jsonl"

    @contextmanager
    def held(self, world: World) -> Iterator[None]:
        """Lock the folder against other runs; the main process of ``world`` holds the lock.

        Raises:
            BusyError: another run is writing here.
            WriteError: the folder cannot be written to.
        """
        with ExitStack() as held:
            refused: EdgeExitError | None = None
            try:
                if world.is_main:
                    held.enter_context(write_into(self.path))
            except EdgeExitError as error:
                refused = error
            if world.as_main(refused is not None):
                raise refused or BusyError(
                    f"{self.path}: another run is writing to it, or it cannot be written; see the "
                    "error of the first process"
                )
            yield

    def check_unused(self) -> None:
        """Raise TrainingError if the folder holds a run, or files that one would overwrite.

        Files of a run that was killed before its first ``last.pt`` may be overwritten.
        """
        if self.last.exists() or self.best.exists():
            raise TrainingError(
                f"{self.path} holds a run: continue it with --resume or choose another -o"
            )
        foreign = [
            path
            for path, ours in (
                (self.config, is_written_config(self.config)),
                (self.metrics, self.metrics.is_file() and not self.metrics.stat().st_size),
            )
            if path.exists() and not ours
        ]
        if foreign:
            raise TrainingError(
                f"{foreign[0]} would be overwritten by the run's own: move it away or choose "
                "another -o"
            )

    def load(self) -> SavedRun:
        """Read the run's state.

        Raises:
            TrainingError: there is no run in the folder.
            CheckpointError: it is damaged or of a newer format.
        """
        if not self.last.exists():
            raise TrainingError(
                f"{self.path} holds no run to continue, last.pt is missing: start one without "
                "--resume"
            )
        plain = read_plain(self.last)
        checkpoint = from_plain(self.last, plain)
        try:
            saved = _read_entry(checkpoint, plain[_ENTRY])
        except (KeyError, TypeError, SchemaError) as error:
            raise CheckpointError(
                f"{self.last}: not the state of a run ({error}); start a new run with another -o"
            ) from error
        if saved.history and not self.best.exists():
            raise TrainingError(
                f"{self.best} is missing, the best epoch of the run: restore it or start a new "
                "run with another -o"
            )
        return saved

    def remove_leftovers(self) -> None:
        """Remove temporary files of processes that were killed while writing."""
        for path in (self.best, self.last, self.config, self.metrics):
            remove_leftovers(path)

    def write_config(self, config: TrainConfig) -> None:
        write_config(self.config, config)

    def save(self, saved: SavedRun) -> None:
        """Write the run's state: ``last.pt`` last, after all other files."""
        history = saved.history
        with replace_file(self.metrics) as temporary:
            lines = [json.dumps(encode(record)) + "\n" for record in history]
            temporary.write_text("".join(lines), encoding="utf-8")
        if history and saved.sums is None and best_record(history) is history[-1]:
            save_checkpoint(self.best, saved.checkpoint)
        entry = {
            "history": encode(history),
            "stepper": saved.stepper,
            "sums": encode(saved.sums),
        }
        write_plain(self.last, {**to_plain(saved.checkpoint), _ENTRY: entry})


def _read_entry(checkpoint: Checkpoint, entry: Any) -> SavedRun:
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
