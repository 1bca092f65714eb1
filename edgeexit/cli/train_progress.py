"""How a run is shown on stderr: a bar while it trains, a line per epoch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgeexit.cli.common import ShownProgress, status_console

if TYPE_CHECKING:
    from edgeexit.training.metrics import EpochRecord
    from edgeexit.training.progress import StepStatus

__all__ = ["TrainProgress", "accuracies", "is_main_process"]

MUCH_WAITING = 0.05
"""Share of the time spent waiting for images from which on it is shown."""


def is_main_process() -> bool:
    """Whether this process tells: of those that ``torchrun`` starts, the first does."""
    return os.environ.get("RANK", "0") == "0"


class TrainProgress(ShownProgress):
    """A bar for the whole run, remarks and one line per epoch above it."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = status_console()
        if not is_main_process():
            self.console.quiet = True
        self.epochs = 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            redirect_stdout=False,  # results on stdout are results, also while a bar is drawn
            redirect_stderr=False,
        )
        self.task = self.bar.add_task("loading", total=None, status="")

    def remark(self, text: str) -> None:
        """Print a line about the run."""
        self.console.print(text, soft_wrap=True, markup=False)

    def step(self, status: StepStatus) -> None:
        """Move the bar; the time left is that of all epochs, from the speed of this process."""
        total = status.epochs * status.steps
        done = (status.epoch - 1) * status.steps + status.step
        if not self.epochs:  # what was done before says nothing about the speed
            self.epochs = status.epochs
            self.bar.reset(self.task, total=total, completed=done - 1, status="")
        self.bar.update(
            self.task,
            description=f"{_phase(status.phase, 'epoch')} {status.epoch}/{status.epochs}",
            completed=done,
            status=f"loss {status.loss:.4f}  training: {accuracies(status.accuracy, None)}",
        )

    def epoch_done(self, record: EpochRecord) -> None:
        """Print the epoch's line."""
        width = len(str(self.epochs))
        waiting = ""
        if record.data_wait_share >= MUCH_WAITING:
            waiting = f", {100 * record.data_wait_share:.0f} % waiting for images"
        self.remark(
            f"{_phase(record.phase, 'epoch')} {record.epoch:{width}}/{self.epochs}  loss "
            f"{record.loss:.4f}  validation: {accuracies(record.accuracy, record.teacher_accuracy)}"
            f"  ({record.samples_per_second:.0f} images/s{waiting})"
        )


def accuracies(shares: dict[str, float], teacher: float | None) -> str:
    """Return the accuracy of each exit, and of the teacher if there is one, in percent."""
    shares = shares if teacher is None else {**shares, "teacher": teacher}
    return "  ".join(f"{name} {100 * share:.2f} %" for name, share in shares.items())


def _phase(phase: str, word: str) -> str:
    return word if phase in ("", "coop") else f"{phase}, {word}"
