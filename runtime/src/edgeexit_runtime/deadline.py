"""Answers by a deadline: a batch continues only if the next answer is expected in time.

The unit that is timed, and refused, is a :class:`~edgeexit_runtime.steps.Step`: a stage and the
branch behind it, or a stage alone if its exit is switched off. A step ends when the gate's outputs
are on the host. Every backend is done by then, so timing needs no extra synchronization.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.gate import GateOutputs, Predictions, Routing, as_number, check_gate
from edgeexit_runtime.steps import Step

RECENT = 8
"""A step is expected to take as long as the longest of this many last runs."""
PATIENCE = 32
"""After this many refusals the longest of those runs is forgotten: it may be an outlier."""
NS_PER_MS = 1_000_000


class _Record:
    """Recent times and the fastest time of one step, and how often it was refused since."""

    __slots__ = ("fastest", "recent", "refusals")

    def __init__(self, took: int) -> None:
        self.recent: list[int] = []
        self.fastest = took
        self.refusals = 0

    def add(self, took: int) -> None:
        self.fastest = min(self.fastest, took)
        self.recent.append(took)
        del self.recent[:-RECENT]
        self.refusals = 0

    def expected(self) -> int:
        return max(self.recent, default=self.fastest)

    def refuse(self) -> None:
        self.refusals += 1
        if self.refusals % PATIENCE == 0 and self.recent:
            self.recent.remove(max(self.recent))


class StepTimes:
    """Times of a session's steps per class of batch size: 1, 2, 3-4, 5-8, ...

    The expected time is the longest of the last :data:`RECENT` runs. A step that never fits would
    never be measured again, and one hiccup, or a device that was hot for a while, would cut all
    later batches short. Every :data:`PATIENCE` refusals in a row therefore drop the longest run,
    down to the fastest ever measured. If even that does not fit, the step is not tried.
    """

    def __init__(self) -> None:
        self._records: dict[tuple[int, bool, int], _Record] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()

    def add(self, index: int, answers: bool, count: int, took: int) -> None:
        """Record a step's time, in nanoseconds; ``answers`` if its branch was run too."""
        key = (index, answers, _size_class(count))
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record(took)
        record.add(took)

    def expected(self, index: int, answers: bool, count: int) -> int:
        """Return the nanoseconds that a step is expected to take.

        If its own size was never run, the time of the next larger one is taken; if a stage was
        never run alone, its time with the branch. A step without any time is expected to take
        none, so that it is run and measured.
        """
        record = self._find(index, answers, _size_class(count))
        return 0 if record is None else record.expected()

    def refuse(self, steps: Sequence[Step], start: int, count: int) -> None:
        """Record that the steps from ``start`` to the next answer did not fit."""
        for index in _way(steps, start):
            record = self._find(index, steps[index].exit is not None, _size_class(count))
            if record is not None:
                record.refuse()

    def way(self, steps: Sequence[Step], start: int, count: int) -> int:
        """Return the expected nanoseconds from the start of a step to the next answer."""
        if steps[start].exit is not None:
            return self.expected(start, True, count)
        way = _way(steps, start)
        return sum(self.expected(index, steps[index].exit is not None, count) for index in way)

    def _find(self, index: int, answers: bool, size: int) -> _Record | None:
        record = self._records.get((index, answers, size))
        if record is not None:
            return record
        larger = [key for key in self._records if key[:2] == (index, answers) and key[2] > size]
        if larger:
            return self._records[min(larger)]
        return None if answers else self._find(index, True, size)


class DeadlineLoop:
    """The session's loop with a clock, which times steps and decides by those times.

    Not thread-safe.

    Args:
        runner: runs the graphs.
        manifest: the manifest of the bundle that it runs.
        clock: returns monotonic nanoseconds.
    """

    def __init__(self, runner: Runner, manifest: Manifest, clock: Callable[[], int]) -> None:
        self.times = StepTimes()
        self._runner = runner
        self._exit_names = manifest.exit_names
        self._num_classes = manifest.model.num_classes
        self._clock = clock

    def infer(
        self, images: NDArray[np.float32], max_batch: int, steps: Sequence[Step], end: int
    ) -> Predictions:
        """Classify any number of images by ``end`` on the clock, in chunks of ``max_batch``.

        Each chunk leaves the later ones the time that their first answers take.
        """
        count = len(images)
        chunks = []
        for start in range(0, count, max_batch):
            whole, rest = divmod(max(count - start - max_batch, 0), max_batch)
            later = whole * self.times.way(steps, 0, max_batch) if whole else 0
            later += self.times.way(steps, 0, rest) if rest else 0
            chunks.append(self.route(images[start : start + max_batch], steps, end - later))
        if not chunks:
            return _with_cut(Predictions.empty(0), np.empty(0, np.bool_))
        return chunks[0] if len(chunks) == 1 else Predictions.joined(chunks)

    def route(self, images: NDArray[np.float32], steps: Sequence[Step], end: int) -> Predictions:
        """Classify one batch by ``end``; the first step is run in any case."""
        runner, times = self._runner, self.times
        routing = Routing(len(images))
        count = len(images)
        best: GateOutputs | None = None  # the last exit's outputs for the samples still here
        answered = 0  # that exit's index
        rows: NDArray[np.int64] | None = None  # rows still here, if others have just left
        now = self._clock()
        runner.set_images(images)
        for index, (stage, exit_, _) in enumerate(steps):
            if index > 0 and now + times.way(steps, index, count) > end:
                times.refuse(steps, index, count)
                if best is None:  # every exit so far is off, and one must answer
                    answered, exit_ = index - 1, self._exit_names[index - 1]
                    best = check_gate(exit_, runner.run_exit(exit_), self._num_classes)
                return _finish(routing, best, answered, cut_short=True)
            if rows is not None:
                runner.keep(self._exit_names[answered], rows)
                rows = None
            gate = _run(runner, stage, exit_)
            if exit_ is not None and gate is not None:
                best = check_gate(exit_, gate, self._num_classes)
                answered = index
            before, now = now, self._clock()
            times.add(index, exit_ is not None, count, now - before)
            if exit_ is None or index == len(steps) - 1:
                continue
            assert best is not None
            rows = routing.leave(best, index)
            if rows is not None and len(rows) == 0:
                break
            best = _copied(best, rows)
            count = len(best.labels)
        assert best is not None, "the last exit is never switched off"
        return _finish(routing, best, answered, cut_short=False)

    def warm_up(
        self, images: NDArray[np.float32], steps: Sequence[Step], runs: int
    ) -> dict[str, float]:
        """Time ``runs`` runs of every step, after an untimed one; return milliseconds per exit.

        All exits are measured switched on and, if some are off, again with the steps as given.
        """
        every = [
            step._replace(exit=name) for step, name in zip(steps, self._exit_names, strict=True)
        ]
        for chosen in (every,) if list(steps) == every else (every, list(steps)):
            for run in range(runs + 1):
                self._measure(images, chosen, keep=run > 0)
        total = 0
        reached = {}
        for index, (name, step) in enumerate(zip(self._exit_names, steps, strict=True)):
            total += self.times.expected(index, step.exit is not None, len(images))
            if step.exit is not None:
                reached[name] = total / NS_PER_MS
        return reached

    def _measure(self, images: NDArray[np.float32], steps: Sequence[Step], keep: bool) -> None:
        """Run every step over all images, with none leaving."""
        runner = self._runner
        now = self._clock()
        runner.set_images(images)
        for index, (stage, exit_, _) in enumerate(steps):
            _run(runner, stage, exit_)
            before, now = now, self._clock()
            if keep:
                self.times.add(index, exit_ is not None, len(images), now - before)


def _run(runner: Runner, stage: str | None, exit_: str | None) -> GateOutputs | None:
    """Run a step to its end; return its exit's outputs, None if the exit is switched off."""
    if exit_ is not None:
        return runner.run_step(stage, exit_)
    if stage is not None:
        runner.run_stage(stage)
    runner.synchronize()
    return None


def check_deadline(deadline_ms: float) -> int:
    """Return a deadline in nanoseconds.

    Raises:
        InputError: it is not a finite number above 0.
    """
    value = as_number(deadline_ms)
    if isinstance(deadline_ms, (bool, np.bool_, str)) or not 0 < value < math.inf:
        raise InputError(
            f"deadline_ms: expected milliseconds above 0, or None for none, got {deadline_ms!r}"
        )
    return round(value * NS_PER_MS)


def _finish(routing: Routing, best: GateOutputs, answered: int, cut_short: bool) -> Predictions:
    waiting = routing.waiting
    answers = routing.leave_all(best, answered)
    cut = np.zeros(len(answers.labels), np.bool_)
    if cut_short:
        cut[slice(None) if waiting is None else waiting] = True
    return _with_cut(answers, cut)


def _with_cut(answers: Predictions, cut_short: NDArray[np.bool_]) -> Predictions:
    return Predictions(answers.labels, answers.confidences, answers.exits, cut_short)


def _copied(gate: GateOutputs, rows: NDArray[np.int64] | None) -> GateOutputs:
    """Return a copy of these rows: the next run overwrites the backend's own arrays."""
    which = slice(None) if rows is None else rows
    return GateOutputs(
        gate.exits[which].copy(), gate.labels[which].copy(), gate.confidences[which].copy()
    )


def _way(steps: Sequence[Step], start: int) -> range:
    """Return the steps from ``start`` to the next one that answers; the last always does."""
    stop = start
    while steps[stop].exit is None:
        stop += 1
    return range(start, stop + 1)


def _size_class(count: int) -> int:
    return (count - 1).bit_length()
