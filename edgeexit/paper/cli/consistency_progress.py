"""Progress of a study on stderr: two bars, and a line per fit."""

from __future__ import annotations

from edgeexit.cli.terminal import progress_bar
from edgeexit.paper.consistency import Fit, StudyProgress


class ConsistencyProgress(StudyProgress):
    """A bar for all fits and one for the current work, with a line for each fit above them."""

    def __init__(self) -> None:
        self.bar = progress_bar()
        self.console = self.bar.console
        self.all = self.bar.add_task("fits", total=None)
        self.now = self.bar.add_task("loading", total=None)

    def remark(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def work(self, what: str, total: int) -> None:
        self.bar.reset(self.now, description=what, total=total)

    def done(self, count: int) -> None:
        self.bar.update(self.now, completed=count)

    def fits(self, done: int, total: int, last: Fit | None) -> None:
        self.bar.update(self.all, completed=done, total=total)
        if last is not None:
            shuffled = ", shuffled" if last.control else ""
            self.remark(
                f"fit {done}/{total}  {last.stage}  {last.network.removesuffix(shuffled)}{shuffled}"
                f"  N = {last.depth}  run {last.run}  accuracy {100 * last.accuracy:.2f} %  "
                f"unexplained variance {100 * last.unexplained:.1f} %"
            )
        elif done:
            self.remark(f"resuming: {done} of {total} fits are finished already")
