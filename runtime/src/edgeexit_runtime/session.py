"""The inference loop: stage -> branch -> gate, until every sample has left."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.backends.base import Runner
from edgeexit_runtime.bundle.expected_entry import Expected
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.deadline import DeadlineLoop, check_deadline
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.field.drift import DOUBT, LEVEL, Drift, find_drift
from edgeexit_runtime.field.statistics import Statistics, Tally
from edgeexit_runtime.gate import (
    ExitAnswers,
    Predictions,
    Routing,
    check_gate,
    check_thresholds,
)
from edgeexit_runtime.images.decoding import MAX_PIXELS
from edgeexit_runtime.images.fitting import ImageSource, prepare
from edgeexit_runtime.steps import begin_ahead, plan_steps
from edgeexit_runtime.system.forks import never_free, notify_when_forked

CLOSED = "the session is closed; load the bundle again"
FORKED = (
    "the session was loaded before this process was forked, and its engine is in the parent; load "
    "the bundle in this process, or start the process with multiprocessing's 'spawn'"
)

# Dot products of more values start a BLAS library's threads, which compete with the engine's.
SMALL = 10_000
FLOAT32 = np.dtype(np.float32)  # comparing with the type would create this on every call


class Session:
    """A loaded bundle, ready to classify. Made by :func:`edgeexit_runtime.load`.

    Each sample of a batch is routed individually: it leaves at the first exit whose confidence
    reaches the threshold, and the others continue. Threads may share a session; their calls then
    run one at a time.

    Attributes:
        manifest: the bundle's manifest.
        runner: runs the graphs on the backend; benchmarks time its parts.

    Args:
        clock: returns monotonic nanoseconds, for deadlines.
    """

    def __init__(
        self,
        manifest: Manifest,
        runner: Runner,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.manifest = manifest
        self.runner = runner
        self._max_batch = manifest.max_batch
        self._shape = manifest.preprocessing.input_size
        self._num_classes = manifest.model.num_classes
        self._set_thresholds(manifest.thresholds)
        self._last = len(self._steps) - 1
        self._clock = clock
        self._by_deadline = DeadlineLoop(runner, manifest, clock)
        self._tally = Tally(len(self._steps))
        self._lock = threading.Lock()
        self._closed_reason: str | None = None
        notify_when_forked(self)

    @property
    def device(self) -> str:
        """Where the graphs run, as the backend names it."""
        return self.runner.device

    @property
    def threads(self) -> int | None:
        """Threads per graph on the CPU; None if the backend chose."""
        return self.runner.threads

    @property
    def thresholds(self) -> Mapping[str, float]:
        """The threshold of every exit but the last, which always answers.

        Set it to a mapping with a value for each: ``session.thresholds = {"exit1": 0.8}``. It
        applies from the next call on, to this session; the bundle is not changed. The branch of an
        exit whose threshold is :data:`NEVER` is not run. A changed value resets
        :meth:`statistics`. If the backend fails to set one, the session is closed.
        """
        return MappingProxyType(self._thresholds)

    @thresholds.setter
    def thresholds(self, thresholds: Mapping[str, float]) -> None:
        checked = check_thresholds(thresholds, self.manifest.exit_names[:-1])
        with self._lock:
            self._require_open()
            try:
                for name, value in checked.items():
                    self.runner.set_threshold(name, value)
                if checked != self._thresholds:
                    self._tally = Tally(len(self._steps))
                self._set_thresholds(checked)
            except BaseException:  # some exits would have new thresholds, others old ones
                self._close()
                raise

    @property
    def guarantee(self) -> Guarantee | None:
        """The guarantee of these thresholds; None without one, or if others were set since."""
        guarantee = self.manifest.guarantee
        held = guarantee is not None and guarantee.holds_for(self._thresholds)
        return guarantee if held else None

    @property
    def expected(self) -> Expected | None:
        """Where images are expected to leave; None if not measured at these thresholds."""
        expected = self.manifest.expected
        held = expected is not None and expected.thresholds == self._thresholds
        return expected if held else None

    def preprocess(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert (N, H, W, C) uint8 images of the input size to the input of :meth:`infer`.

        Raises:
            InputError: another shape or dtype.
        """
        return self.manifest.preprocessing(images)

    def prepare(
        self, images: Iterable[ImageSource], *, max_pixels: int = MAX_PIXELS
    ) -> NDArray[np.float32]:
        """Convert images of any size to the input of :meth:`infer`, fitted as in training.

        Args:
            images: paths, open files, Pillow images, or uint8 arrays (H, W) or (H, W, C) in RGB
                order; OpenCV's are BGR: pass ``frame[..., ::-1]``. They are resized and cropped.
            max_pixels: larger files are rejected before they are decoded.

        Raises:
            ImageError: a file is not an image, is damaged, has pixels of unknown range, or is so
                large or long that it may do harm.
            InputError: pixels of another dtype or shape.
            BackendError: Pillow is needed and not installed.
        """
        return prepare(images, self.manifest.preprocessing, max_pixels)

    def infer(
        self, images: NDArray[np.float32], *, deadline_ms: float | None = None
    ) -> Predictions:
        """Classify images (N, C, H, W), float32, normalized as by :meth:`preprocess`.

        A C-contiguous array is read in place. N may be any number: more than ``max_batch`` images
        are run in chunks of ``max_batch``, and 0 images give empty results.

        With a deadline, images that would continue leave with the best answer so far, that of the
        last exit that was run, if the next answer would come too late. The deadline counts from
        this call, waiting for other threads included. The first exit always answers, even past
        the deadline. An exit that is switched off answers only if no exit before it is on and
        the next one that is on would be too late.

        The expected time of a stage with its branch is the longest of its last 8 runs, per class
        of batch size (1, 2, 3-4, 5-8, ...), in calls with a deadline and in :meth:`warm_up`. A step
        that was never measured is run, and may be late. After 32 refusals in a row the longest run
        is forgotten, and so on down to the fastest ever measured, so that neither a hiccup nor a
        device that was hot for a while cuts all later calls short.

        Args:
            images: the images to classify.
            deadline_ms: milliseconds, above 0; None lets images continue until an exit's
                confidence reaches its threshold.

        Raises:
            InputError: another shape or dtype, values that are not finite, or an invalid deadline.
            BackendError: a graph fails, or its outputs are impossible. The session stays usable.
        """
        start = self._clock()
        end = None if deadline_ms is None else start + check_deadline(deadline_ms)
        self._check(images)
        images = np.ascontiguousarray(images)
        with self._lock:
            self._require_open()
            with self.runner.together:
                if end is None:
                    answers = self._route_all(images)
                else:
                    answers = self._by_deadline.infer(images, self._max_batch, self._steps, end)
            if len(images) > 0:
                self._tally.add(answers, self._clock() - start)
        return answers

    def statistics(self, *, reset: bool = False) -> Statistics:
        """Return statistics of all :meth:`infer` calls since loading or the last reset.

        Calls that failed, calls without images, and other methods are not counted. Threads that
        share the session never see half a call.

        Args:
            reset: start again afterwards, so that the next statistics cover only later calls.
        """
        with self._lock:
            statistics = self._tally.statistics(self.manifest.exit_names)
            if reset:
                self._tally = Tally(len(self._steps))
        return statistics

    def drift(self, *, level: float = LEVEL) -> Drift:
        """Test whether images leave as they did when the bundle was measured.

        The test uses the counts of :meth:`statistics` and may be repeated as often as one likes:
        see :mod:`edgeexit_runtime.field.drift`. Images must be drawn independently, which frames
        of one video are not.

        Args:
            level: upper bound on the probability of ever reporting a drift where there is none, at
                least :data:`~edgeexit_runtime.field.drift.DOUBT`: no p-value is below it.

        Raises:
            InputError: the bundle has no expected counts at these thresholds, or ``level`` is not
                DOUBT or more and below 1.
        """
        if not DOUBT <= level < 1:
            raise InputError(f"level: expected {DOUBT} or more and below 1, got {level!r}")
        with self._lock:
            expected, cells, starts = self.expected, self._tally.cells(), self._tally.starts()
        if expected is None:
            why = "at these thresholds" if self.manifest.expected else "at all"
            raise InputError(
                f"drift: the bundle does not say what to expect {why}; 'edgeexit tune "
                "--engine-dir' measures it"
            )
        return find_drift(expected, self.manifest.exit_names, starts, cells, level)

    def warm_up(self, batch_size: int = 1, runs: int = 8) -> dict[str, float]:
        """Run every step a few times, so that no later call pays for a first run, and time it.

        The times that deadlines rely on are discarded and measured again, for every class of batch
        size up to this one: each takes ``runs`` + 1 passes through the whole network, and as many
        again if an exit is switched off. Other threads wait meanwhile. Call it once before the
        first deadline, and again when the device has become faster or slower.

        Args:
            batch_size: the largest batch size to expect, 1 to ``max_batch``.
            runs: how often each step is measured, at least 1.

        Returns:
            For each exit that is on, the milliseconds that a batch of this size takes to reach
            its answer: the shortest deadline that allows it.

        Raises:
            InputError: a value out of range.
        """
        if not isinstance(batch_size, int) or not 1 <= batch_size <= self._max_batch:
            raise InputError(f"batch_size: expected 1 to {self._max_batch}, got {batch_size!r}")
        if not isinstance(runs, int) or runs < 1:
            raise InputError(f"runs: expected a whole number above 0, got {runs!r}")
        images = np.zeros((batch_size, *self._shape), np.float32)
        sizes = [2**power for power in range((batch_size - 1).bit_length())]
        with self._lock:
            self._require_open()
            self._by_deadline.times.clear()
            with self.runner.together:
                for size in sizes:
                    self._by_deadline.warm_up(images[:size], self._steps, runs)
                return self._by_deadline.warm_up(images, self._steps, runs)

    def infer_all_exits(self, images: NDArray[np.float32]) -> ExitAnswers:
        """Run every exit on every image, with none leaving: to choose thresholds, or to inspect.

        Exits that are switched off are run too; thresholds do not change.

        Args:
            images: as :meth:`infer` takes them.

        Raises:
            InputError: another shape or dtype, or values that are not finite.
            BackendError: a graph fails, or its outputs are impossible. The session stays usable.
        """
        self._check(images)
        images = np.ascontiguousarray(images)
        exits, runner = self.manifest.exits, self.runner
        answers = ExitAnswers.empty(len(exits), len(images))
        with self._lock:
            self._require_open()
            for start in range(0, len(images), self._max_batch):
                part = slice(start, start + self._max_batch)
                runner.set_images(images[part])
                for index, exit_ in enumerate(exits):
                    if exit_.stage is not None:
                        runner.run_stage(exit_.stage)
                    gate = runner.run_exit(exit_.name)
                    check_gate(exit_.name, gate, self._num_classes)
                    answers.labels[index, part] = gate.labels
                    answers.confidences[index, part] = gate.confidences
        return answers

    def close(self) -> None:
        """Free the engines and their buffers. Closing twice is harmless."""
        with self._lock:
            self._close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _route_all(self, images: NDArray[np.float32]) -> Predictions:
        """Classify any number of images, in chunks of ``max_batch``."""
        step = self._max_batch
        if 0 < len(images) <= step:
            return self._route(images)
        starts = range(0, len(images), step)
        return Predictions.joined([self._route(images[i : i + step]) for i in starts])

    def _route(self, images: NDArray[np.float32]) -> Predictions:
        """Classify 1 to ``max_batch`` images."""
        runner = self.runner
        routing = Routing(len(images))
        runner.set_images(images)
        steps = self._steps_alone if len(images) == 1 else self._steps
        for index, (stage, exit_, ahead) in enumerate(steps):
            if exit_ is None:
                if stage is not None:
                    runner.run_stage(stage)
                continue
            gate = check_gate(exit_, runner.run_step(stage, exit_, ahead), self._num_classes)
            if index == self._last:
                break
            rows = routing.leave(gate, index)
            if rows is None:
                continue
            if len(rows) == 0:
                self._tally.wasted_stages += ahead is not None
                break
            runner.keep(exit_, rows)
        return routing.leave_all(gate, index)

    def _set_thresholds(self, thresholds: dict[str, float]) -> None:
        """Store the thresholds and plan the steps to run."""
        self._thresholds = thresholds
        self._steps = plan_steps(self.manifest, thresholds)
        expected, names = self.expected, self.manifest.exit_names
        shares = {} if expected is None else expected.leaving_shares(names)
        self._steps_alone = begin_ahead(self._steps, shares, self.runner.ahead_below)

    def _close(self) -> None:
        if self._closed_reason is None:
            self._closed_reason = CLOSED
            self.runner.close()

    def was_forked(self) -> None:
        """Make the session unusable in a forked child, which lacks the engine's threads."""
        self._lock = threading.Lock()  # a thread of the parent may hold the old one
        if self._closed_reason is None:
            self._closed_reason = FORKED
            never_free(self.runner)

    def _require_open(self) -> None:
        if self._closed_reason is not None:
            raise InputError(self._closed_reason)

    def _check(self, images: NDArray[np.float32]) -> None:
        if not isinstance(images, np.ndarray) or images.dtype != FLOAT32:
            got = getattr(images, "dtype", type(images).__name__)
            hint = "; session.preprocess() makes it from uint8" if got == np.uint8 else ""
            raise InputError(f"images: expected a float32 array (N, C, H, W), got {got}{hint}")
        if images.ndim != 4 or images.shape[1:] != self._shape:
            sizes = ", ".join(str(size) for size in self._shape)
            raise InputError(f"images: expected shape (N, {sizes}), got {images.shape}")
        if not _all_finite(images):
            raise InputError("images: expected finite values, got NaN or infinity")


def _all_finite(images: NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite."""
    # one call and one pass, half the cost of isfinite and all; but large values overflow
    if images.size <= SMALL and math.isfinite(np.vdot(images, images)):
        return True
    return bool(np.isfinite(images).all())
