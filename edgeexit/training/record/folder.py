"""A run's folder: what is written into it as it trains, and read back to go on.

``last.pt`` is a checkpoint with what training needs besides; the other files follow from it and
are written before it, so that they are whole whenever it is read.
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
from edgeexit.fitting import class_differences
from edgeexit.plain_file import read_plain, write_plain
from edgeexit.training.checkpoint import Checkpoint, from_plain, save_checkpoint, to_plain
from edgeexit.training.distributed import World
from edgeexit.training.record.metrics import EpochRecord, best_record
from edgeexit.training.settings.config import TrainConfig
from edgeexit.training.settings.config_file import is_written_config, write_config
from edgeexit.training.steps.sums import EpochSums

FREE_OPTIONS = (
    "device",
    "workers",
    "save_minutes",
    "teacher",
    "data.data_dir",
    "data.download",
    "data.max_pixels",
)
"""Where a run executes, finds and reads its files, and how often it saves; it may go on elsewhere.

That a teacher from elsewhere is the same is found by its fingerprint.
"""

_OPTION_NAMES = {"data.name": "--dataset"}


@dataclass(frozen=True, slots=True, eq=False)
class RunState:
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
        """Be the only run in the folder; the main process of ``world`` sees to it for all.

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
        """Raise TrainingError where the folder holds a run, or files that one would overwrite.

        A run that was killed before its first ``last.pt`` has left nothing to keep.
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

    def load(self) -> RunState:
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
            extra = plain["run"]
            if not isinstance(extra, dict):
                raise TypeError("run: expected an object")
            history = decode(tuple[EpochRecord, ...], extra["history"], "history")
            sums = None if extra["sums"] is None else decode(EpochSums, extra["sums"], "sums")
            state = RunState(checkpoint, history, extra["stepper"], sums)
            if len(history) > state.epochs:
                raise SchemaError(f"history: expected {state.epochs} epochs, got {len(history)}")
            for epoch, record in enumerate(history, start=1):
                if record.epoch != epoch or set(record.accuracy) != set(checkpoint.spec.exit_names):
                    raise SchemaError(f"history: expected every exit's accuracy in epoch {epoch}")
        except (KeyError, TypeError, SchemaError) as error:
            raise CheckpointError(
                f"{self.last}: not the last state of a run ({error}); start it anew with another -o"
            ) from error
        if history and not self.best.exists():
            raise TrainingError(
                f"{self.best} is missing, the best epoch of the run: put it back or start anew "
                "with another -o"
            )
        return state

    def remove_leftovers(self) -> None:
        """Remove what processes that were killed while they wrote have left."""
        for path in (self.best, self.last, self.config, self.metrics):
            remove_leftovers(path)

    def write_config(self, config: TrainConfig) -> None:
        write_config(self.config, config)

    def write_metrics(self, history: tuple[EpochRecord, ...]) -> None:
        lines = (json.dumps(encode(record)) + "\n" for record in history)
        with replace_file(self.metrics) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def save(self, state: RunState) -> None:
        """Write the run's state; ``last.pt`` at the very end, when the other files are there."""
        self.write_metrics(state.history)
        finished_epoch = state.history and state.sums is None
        if finished_epoch and best_record(state.history) is state.history[-1]:
            save_checkpoint(self.best, state.checkpoint)
        extra = {
            "history": encode(state.history),
            "stepper": state.stepper,
            "sums": encode(state.sums),
        }
        write_plain(self.last, {**to_plain(state.checkpoint), "run": extra})


def check_same_options(folder: RunFolder, stored: TrainConfig, asked: TrainConfig) -> None:
    """Raise TrainingError, naming each option, where ``asked`` would give another result."""
    before, now = _options(stored), _options(asked)
    names = {**_OPTION_NAMES, "backbone": "--model" if ":" in stored.backbone else "--backbone"}
    different = [
        f"{names.get(name) or _option(name)} {_shown(before[name])}, got {_shown(now[name])}"
        for name in before
        if before[name] != now[name] and name not in FREE_OPTIONS
    ]
    if different:
        raise TrainingError(
            f"{folder.path} was started with {'; '.join(different)}: leave the options out to "
            "continue it, or choose another -o"
        )


def check_same_classes(folder: RunFolder, state: RunState, class_names: tuple[str, ...]) -> None:
    """Raise TrainingError where the data has other classes by now: labels would change meaning."""
    for what in class_differences(state.checkpoint.class_names, class_names):
        raise TrainingError(
            f"{folder.path} was started with {what}: give it the images that it was started with, "
            "or choose another -o"
        )


def _option(field: str) -> str:
    return "--" + field.removeprefix("data.").replace("_", "-")


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "as usual" if value is None else value


def _options(config: TrainConfig) -> dict[str, Any]:
    options: dict[str, Any] = encode(config)
    if Path(config.init or "").is_file():  # the same file, however the path is written
        options["init"] = str(Path(options["init"]).resolve())
    data = options.pop("data")
    return {**options, **{f"data.{name}": value for name, value in data.items()}}
