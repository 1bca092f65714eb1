"""Requests -> batches -> sessions: waiting requests are batched in the order of arrival."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import Manifest
from edgeexit_runtime.errors import BackendError, DeviceLostError, EdgeExitError, InputError
from edgeexit_runtime.gate import Predictions
from edgeexit_runtime.session import Session

logger = logging.getLogger(__name__)


class RefusedError(EdgeExitError):
    """A request is refused: the queue is full, or, if ``is_stopping``, the service ends."""

    def __init__(self, message: str, *, is_stopping: bool) -> None:
        super().__init__(message)
        self.is_stopping = is_stopping


@dataclass(frozen=True, slots=True)
class Answer:
    """Predictions for the images of one request, and the manifest of the bundle that made them."""

    predictions: Predictions
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _Request:
    images: NDArray[np.float32]  # (n, C, H, W), n >= 1
    future: Future[Answer] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """Answers requests with several sessions, each in its own thread.

    A free thread takes waiting requests, up to ``max_batch`` images, and never splits a request. If
    the batch fails, each request is run alone, so that only the one at fault fails.

    Args:
        sessions: sessions of one bundle; the batcher closes them.
        max_batch: maximum number of images in a batch; a larger request is its own batch.
        max_wait_ms: how long a batch that is not full waits for more requests.
        queue: maximum number of waiting images.
        deadline_ms: deadline of each batch; None for none.
        observe: called with the number of images of every batch that was run.

    Attributes:
        has_lost_device: whether the device is lost, so that the process must be restarted.
    """

    def __init__(
        self,
        sessions: Sequence[Session],
        *,
        max_batch: int,
        max_wait_ms: float,
        queue: int,
        deadline_ms: float | None = None,
        observe: Callable[[int], object] = lambda images: None,
    ) -> None:
        self._sessions = list(sessions)
        self._max_batch, self._max_wait_s = max_batch, max_wait_ms / 1000
        self._queue, self._deadline_ms, self._observe = queue, deadline_ms, observe
        self._requests: deque[_Request] = deque()
        self._waiting = 0  # images
        self._changed = threading.Condition()
        self._is_stopping = False
        self.has_lost_device = False
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"edgeexit-{number}")
            for number in range(len(sessions))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions for the next requests."""
        return tuple(self._sessions)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the bundle for the next requests."""
        return self._sessions[0].manifest

    @property
    def waiting(self) -> int:
        """Number of images in the queue."""
        return self._waiting

    def submit(self, images: NDArray[np.float32]) -> Future[Answer]:
        """Queue a request of (n, C, H, W) images, n >= 1.

        Raises:
            RefusedError: the queue is full, or the service is stopping.
        """
        request = _Request(images)
        with self._changed:
            if self._is_stopping:
                raise RefusedError("the service is stopping; try another", is_stopping=True)
            if self._waiting + len(images) > self._queue and self._waiting:
                raise RefusedError(
                    f"{self._waiting} images are waiting, at most {self._queue} may; try later",
                    is_stopping=False,
                )
            self._requests.append(request)
            self._waiting += len(images)
            self._changed.notify()
        return request.future

    def replace(self, sessions: Sequence[Session]) -> None:
        """Use other sessions, the same number, from the next batch on.

        The threads close the old ones after their current batches.
        """
        with self._changed:
            self._sessions = list(sessions)
            self._changed.notify_all()

    def close(self) -> None:
        """Answer all queued requests, accept no more, and close the sessions."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        session = self._sessions[number]
        try:
            while True:
                batch, current = self._next(number, session)
                if current is not session:
                    session.close()
                    session = current
                if batch:
                    self._answer(session, batch)
                elif self._is_stopping:
                    return
        finally:
            session.close()

    def _next(self, number: int, session: Session) -> tuple[list[_Request], Session]:
        """Wait for requests; return those of one batch, and the session for them.

        The batch is empty if the session was replaced, or the service is stopping.
        """
        with self._changed:
            while not self._requests:
                if self._is_stopping or self._sessions[number] is not session:
                    return [], self._sessions[number]
                self._changed.wait()
            end = self._requests[0].arrived + self._max_wait_s
            while self._requests and self._waiting < self._max_batch and not self._is_stopping:
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return self._take(), self._sessions[number]

    def _take(self) -> list[_Request]:
        """Take the first request, and the next ones with images of that shape that fit."""
        batch: list[_Request] = []
        images = 0
        while self._requests:
            request = self._requests[0]
            if batch and (
                images + len(request.images) > self._max_batch
                or request.images.shape[1:] != batch[0].images.shape[1:]
            ):
                break
            self._requests.popleft()
            self._waiting -= len(request.images)
            if request.future.set_running_or_notify_cancel():  # else it was cancelled
                batch.append(request)
                images += len(request.images)
        return batch

    def _answer(self, session: Session, batch: list[_Request]) -> None:
        images = batch[0].images
        if len(batch) > 1:
            images = np.concatenate([request.images for request in batch])
        try:
            predictions = session.infer(images, deadline_ms=self._deadline_ms)
        except EdgeExitError as error:
            self.has_lost_device |= isinstance(error, DeviceLostError)
            if len(batch) > 1:
                for request in batch:
                    self._answer(session, [request])
                return
            batch[0].future.set_exception(error)
            return
        except BaseException as error:  # the thread must continue
            logger.exception("a batch of %d images failed", len(images))
            for request in batch:
                request.future.set_exception(BackendError(f"the session failed ({error})"))
            return
        self._observe(len(images))
        start = 0
        for request in batch:
            part = slice(start, start + len(request.images))
            start = part.stop
            own = Predictions(
                predictions.labels[part], predictions.confidences[part], predictions.exits[part]
            )
            request.future.set_result(Answer(own, session.manifest))


def check_images(images: NDArray[np.float32], size: tuple[int, int, int]) -> None:
    """Check that there are images, of the bundle's input size (C, H, W).

    Raises:
        InputError: there are none, or they have another size.
    """
    if images.ndim != 4 or images.shape[1:] != size or len(images) == 0:
        raise InputError(
            f"images: expected shape (N, {', '.join(map(str, size))}) with N >= 1, got "
            f"{images.shape}"
        )
