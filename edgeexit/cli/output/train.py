"""Progress of training on stderr: a bar, and a line per epoch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeexit_runtime.errors import printable

from edgeexit.cli.terminal import status_console
from edgeexit.formats import format_macs

if TYPE_CHECKING:
    from rich.console import Console

    from edgeexit.training.record.reports import EpochRecord, StepStatus
    from edgeexit.training.setup import TrainSetup

MUCH_WAITING = 0.05
"""Least share of the time spent waiting for images that is shown."""

STRETCH_S = 5.0
"""Steps are timed in stretches of so many seconds; the first may include the warm-up."""

AGREEMENT = 1.25
"""Largest ratio of two consecutive stretches at which a remaining time is estimated."""


def is_main_process() -> bool:
    """Whether this is the process that prints: the first of those that ``torchrun`` starts."""
    return os.environ.get("RANK", "0") == "0"


class _Speed:
    """Seconds per step: None until two consecutive stretches agree, then those of the last one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.step_s: float | None = None
        self._clock = clock
        self._since: tuple[int, float] | None = None  # start of the stretch: steps done, time
        self._last: float | None = None

    def update(self, done: int) -> None:
        """Update with the number of steps done now."""
        now = self._clock()
        began, start = self._since = self._since or (done, now)
        if now - start < STRETCH_S or done == began:
            return
        before, self._last, self._since = self._last, (now - start) / (done - began), (done, now)
        agrees = before is not None and 1 / AGREEMENT <= self._last / before <= AGREEMENT
        if agrees or self.step_s is not None:
            self.step_s = self._last


class TrainProgress:
    """A bar for the whole run, remarks and one line per epoch above it; ``bar`` draws it."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, console: Console | None = None
    ) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = console or status_console()
        if not is_main_process():
            self.console.quiet = True
        self.epochs = 0
        self.speed = _Speed(clock)
        self.is_expected = False
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[status]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            redirect_stdout=False,  # results stay on stdout, even while a bar is drawn
            redirect_stderr=False,
        )
        self.task = self.bar.add_task("loading", total=None, left="", status="")

    def begin(self, setup: TrainSetup) -> None:
        """Print data, network and schedule."""
        from edgeexit.cost import network_cost
        from edgeexit.data.words import describe_data

        config, cost = setup.config, network_cost(setup.net)
        channels, height, width = setup.data.preprocessing.input_size
        pixels = f"{height}x{width} {'grey ' if channels == 1 else ''}pixels"
        macs = f"{'at least ' if cost.uncounted else ''}{format_macs(cost.total_macs)} MACs"
        alone = f", {format_macs(cost.baseline_macs)} without branches"
        for line in (
            *describe_data(config.data.name, setup.data),
            f"{config.backbone}, branches {config.branches}, {pixels}: {macs} per image"
            f"{'' if config.branches == 'none' else alone}",
            f"{setup.epochs} epoch{'s' if setup.epochs > 1 else ''} of {setup.steps:,} batches of "
            f"{config.batch_size} images, on {config.device}",
        ):
            self.remark(line)

    def remark(self, text: str) -> None:
        """Print a line about the run."""
        self.console.print(printable(text), soft_wrap=True, markup=False)

    def step(self, status: StepStatus) -> None:
        """Move the bar; the time left is that of all epochs, from the speed of this process."""
        total = status.epochs * status.steps
        done = (status.epoch - 1) * status.steps + status.step
        if not self.epochs:  # steps of an earlier run do not count for the speed
            self.epochs = status.epochs
            self.bar.reset(self.task, total=total, completed=done - 1)
        self.speed.update(done)
        self.bar.update(
            self.task,
            description=f"{_epoch(status.phase)} {status.epoch}/{status.epochs}",
            completed=done,
            left=self._expect(status.steps, total - done),
            status=f"loss {status.loss:.4f}  training: {accuracies(status.accuracy, None)}",
        )

    def _expect(self, steps: int, left: int) -> str:
        """Return the estimated time for ``left`` steps, once known; print it once in a line."""
        step_s = self.speed.step_s
        if step_s is None:
            return ""
        to_go = f"{_duration(step_s * left)} to go"
        if not self.is_expected and left > 0:
            self.is_expected = True
            self.remark(f"about {_duration(step_s * steps)} per epoch, {to_go}")
        return to_go

    def epoch_done(self, record: EpochRecord) -> None:
        """Print the epoch's line."""
        width = len(str(self.epochs))
        waiting = ""
        if record.data_wait_share >= MUCH_WAITING:
            waiting = f", {100 * record.data_wait_share:.0f} % waiting for images"
        self.remark(
            f"{_epoch(record.phase)} {record.epoch:{width}}/{self.epochs}  loss "
            f"{record.loss:.4f}  validation: {accuracies(record.accuracy, record.teacher_accuracy)}"
            f"  ({record.samples_per_second:.0f} images/s{waiting})"
        )


def accuracies(shares: dict[str, float], teacher: float | None) -> str:
    """Return the accuracy of each exit, and of the teacher if there is one, in percent."""
    shares = shares if teacher is None else {**shares, "teacher": teacher}
    return "  ".join(f"{name} {100 * share:.2f} %" for name, share in shares.items())


def _epoch(phase: str) -> str:
    return "epoch" if phase in ("", "coop") else f"{phase}, epoch"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days {hours % 24} h"
