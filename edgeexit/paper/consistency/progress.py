"""Progress of a study."""

from __future__ import annotations

from collections.abc import Callable

from edgeexit.paper.consistency.record import Fit


class StudyProgress:
    """Receives the progress of a study. This base class ignores it."""

    def remark(self, text: str) -> None:
        """Handle a line about the study."""

    def work(self, what: str, steps: int) -> None:
        """Handle the start of some work that has so many steps."""

    def step(self) -> None:
        """Handle the end of one of these steps."""

    def fits(self, done: int, total: int, last: Fit | None) -> None:
        """Handle the number of finished fits, with those of earlier runs, and the last fit."""


def step_to_count(progress: StudyProgress) -> Callable[[int], None]:
    """Return a callback that takes the number of finished steps and reports each new one."""
    reported = 0

    def update(done: int) -> None:
        nonlocal reported
        for _ in range(done - reported):
            progress.step()
        reported = done

    return update
