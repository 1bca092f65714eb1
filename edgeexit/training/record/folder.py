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

from edgeexit_runtime.bundle.schema import SchemaError, encode

from edgeexit.errors import BusyError, CheckpointError, EdgeExitError, TrainingError
from edgeexit.files import remove_leftovers, replace_file, write_into
from edgeexit.plain_file import read_plain, write_plain
from edgeexit.training.checkpoint import from_plain, save_checkpoint, to_plain
from edgeexit.training.distributed import World
from edgeexit.training.record.metrics import EpochRecord, best_record
from edgeexit.training.record.saved import SavedRun, read_entry, to_entry
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.settings.config_file import is_written_config, write_config

_ENTRY = "run"  # of last.pt


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run and the files in it."""

    path: Path

    @property
    def best(self) -> Path:
        return self.path / "ckpt.pt"

    @property
    def last(self) -> Path:
        return self.path / "last.pt"

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

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
            saved = read_entry(checkpoint, plain[_ENTRY])
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

    def write_metrics(self, history: tuple[EpochRecord, ...]) -> None:
        lines = (json.dumps(encode(record)) + "\n" for record in history)
        with replace_file(self.metrics) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def save(self, saved: SavedRun) -> None:
        """Write the run's state: ``last.pt`` last, after all other files."""
        history = saved.history
        self.write_metrics(history)
        finished_epoch = history and saved.sums is None
        if finished_epoch and best_record(history) is history[-1]:
            save_checkpoint(self.best, saved.checkpoint)
        write_plain(self.last, {**to_plain(saved.checkpoint), _ENTRY: to_entry(saved)})
