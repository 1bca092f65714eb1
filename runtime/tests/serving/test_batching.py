"""Who is answered with whom, by what, and who is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.errors import BackendError, InputError
from edgeexit_runtime.serving.batching import Batcher, RefusedError
from edgeexit_runtime.testing import images_leaving_at
from numpy.typing import NDArray


class Held(ee.Session):
    """A session whose calls wait until they are let go, and are noted."""

    def __init__(self, session: ee.Session) -> None:
        super().__init__(session.manifest, session.runner)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.sizes: list[int] = []
        self.is_closed = False

    def infer(
        self, images: NDArray[np.float32], *, deadline_ms: float | None = None
    ) -> ee.Predictions:
        self.sizes.append(len(images))
        self.begun.release()
        assert self.go_on.wait(20)
        return super().infer(images, deadline_ms=deadline_ms)

    def close(self) -> None:
        self.is_closed = True
        super().close()


@pytest.fixture
def held(bundle: Path) -> Held:
    return Held(ee.load(bundle, threads=1))


@pytest.fixture
def make(held: Held) -> Iterator[Callable[..., Batcher]]:
    made: list[Batcher] = []

    def batcher(**options: Any) -> Batcher:
        wanted = {"max_batch": 4, "max_wait_ms": 0.0, "queue": 8, **options}
        made.append(Batcher([held], **wanted))
        return made[-1]

    yield batcher
    held.go_on.set()
    for each in made:
        each.close()


def busy(batcher: Batcher, held: Held) -> Any:
    """Let the only session be at work; return the future of that."""
    future = batcher.submit(images_leaving_at([0]))
    assert held.begun.acquire(timeout=20)
    return future


def test_who_waits_is_answered_together_in_order(make: Callable[..., Batcher], held: Held) -> None:
    sizes: list[int] = []
    batcher = make(observe=sizes.append)
    first = busy(batcher, held)
    exits = [[2, 0], [1], [0, 1], [2]]
    futures = [batcher.submit(images_leaving_at(wanted)) for wanted in exits]
    assert batcher.waiting == 6
    held.go_on.set()
    assert first.result(20).predictions.exits.tolist() == [0]
    got = [future.result(20).predictions for future in futures]
    assert [answer.exits.tolist() for answer in got] == exits
    assert [answer.labels.tolist() for answer in got] == exits
    assert held.sizes == sizes == [1, 3, 3]  # up to 4, and no request in two parts
    assert batcher.waiting == 0


def test_a_batch_waits_for_more_but_not_longer(make: Callable[..., Batcher], held: Held) -> None:
    held.go_on.set()
    batcher = make(max_wait_ms=300)
    futures = [batcher.submit(images_leaving_at([0])) for _ in range(3)]
    assert [future.result(20).predictions.exits.tolist() for future in futures] == [[0]] * 3
    assert held.sizes == [3]  # after the wait, though 4 fit
    futures = [batcher.submit(images_leaving_at([0])) for _ in range(4)]
    assert futures[-1].result(20)
    assert held.sizes == [3, 4]


def test_more_than_the_queue_holds_are_refused(make: Callable[..., Batcher], held: Held) -> None:
    batcher = make(queue=3)
    busy(batcher, held)
    kept = batcher.submit(images_leaving_at([0, 0]))
    with pytest.raises(RefusedError, match="2 images are waiting, at most 3 may") as caught:
        batcher.submit(images_leaving_at([0, 0]))
    assert not caught.value.is_stopping
    held.go_on.set()
    assert len(kept.result(20).predictions.exits) == 2
    assert len(batcher.submit(images_leaving_at([0] * 7)).result(20).predictions.exits) == 7


def test_a_stop_answers_what_was_taken(make: Callable[..., Batcher], held: Held) -> None:
    batcher = make()
    futures = [busy(batcher, held)]
    futures += [batcher.submit(images_leaving_at([1])) for _ in range(6)]
    stop = threading.Thread(target=batcher.close)
    stop.start()
    while True:
        try:
            futures.append(batcher.submit(images_leaving_at([1])))
        except RefusedError as error:
            told = error
            break
    assert told.is_stopping
    held.go_on.set()
    stop.join(20)
    assert not stop.is_alive()
    assert [future.result(0).predictions.exits[0] for future in futures[1:]] == [1] * (
        len(futures) - 1
    )
    assert held.is_closed


def test_another_bundle_answers_from_the_next_batch_on(
    make: Callable[..., Batcher], held: Held, bundle: Path
) -> None:
    batcher = make()
    old = busy(batcher, held)
    waiting = batcher.submit(images_leaving_at([1]))
    new = ee.load(bundle, threads=1)
    new.thresholds = {"exit1": 0.0, "exit2": 0.0}
    batcher.replace([new])
    assert batcher.sessions == (new,)
    assert not held.is_closed
    held.go_on.set()
    assert old.result(20).predictions.exits.tolist() == [0]
    assert waiting.result(20).predictions.exits.tolist() == [0]  # as the new one says
    assert held.is_closed
    assert len(held.sizes) == 1


def test_who_fails_fails_alone(make: Callable[..., Batcher], held: Held) -> None:
    batcher = make()
    busy(batcher, held)
    futures = [batcher.submit(images_leaving_at([1])) for _ in range(3)]
    bad = images_leaving_at([1])
    bad[0, 0, 0, 0] = np.nan
    futures.insert(1, batcher.submit(bad))
    held.go_on.set()
    with pytest.raises(InputError, match="NaN"):
        futures.pop(1).result(20)
    assert [future.result(20).predictions.exits[0] for future in futures] == [1, 1, 1]


def test_images_of_another_size_are_not_answered_with_others(
    make: Callable[..., Batcher], held: Held
) -> None:
    """As they may be left of a bundle that was replaced."""
    batcher = make()
    busy(batcher, held)
    small = batcher.submit(np.zeros((1, 3, 2, 2), np.float32))
    fitting = batcher.submit(images_leaving_at([1]))
    held.go_on.set()
    with pytest.raises(InputError, match="expected shape"):
        small.result(20)
    assert fitting.result(20).predictions.exits.tolist() == [1]


def test_who_hung_up_is_not_answered(make: Callable[..., Batcher], held: Held) -> None:
    batcher = make()
    busy(batcher, held)
    gone, here = (batcher.submit(images_leaving_at([1])) for _ in range(2))
    assert gone.cancel()
    held.go_on.set()
    assert here.result(20)
    assert held.sizes == [1, 1]


def test_the_thread_goes_on_after_any_error(
    make: Callable[..., Batcher], held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = make()
    held.go_on.set()
    with monkeypatch.context() as patch:
        patch.setattr(held, "infer", lambda *_, **__: 1 / 0)
        with pytest.raises(BackendError, match="division by zero"):
            batcher.submit(images_leaving_at([0])).result(20)
    assert batcher.submit(images_leaving_at([0])).result(20)
