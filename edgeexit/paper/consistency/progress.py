"""What a study tells while it runs."""

from __future__ import annotations

from collections.abc import Callable

from edgeexit.paper.consistency.record import Fit


class StudyProgress:
    """Who is told how far a study is; this one keeps it to itself."""

    def remark(self, text: str) -> None:
        """Take a line about the study."""

    def work(self, what: str, steps: int) -> None:
        """Take what begins now, and of how many steps it is."""

    def step(self) -> None:
        """Take that one of these steps is done."""

    def fits(self, done: int, total: int, last: Fit | None) -> None:
        """Take how many fits are done, those of an earlier time included, and the last one."""


def told_by_count(progress: StudyProgress) -> Callable[[int], None]:
    """Return what takes how many steps are done, and tells each of them."""
    told = 0

    def take(done: int) -> None:
        nonlocal told
        for _ in range(done - told):
            progress.step()
        told = done

    return take
