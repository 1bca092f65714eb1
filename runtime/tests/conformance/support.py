"""What the classes of tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from numpy.typing import NDArray

Images = NDArray[np.float32]
Draw = Callable[[int, int], Images]
Expected = Callable[[Any, Images, Mapping[str, float]], ee.Predictions]
Write = Callable[[Any], Path]
Load = Callable[..., ee.Session]


class Conformance:
    """``load(folder, of=ee.load)`` opens a bundle with the backend that is tested."""

    @pytest.fixture
    def load(self, backend: str, prepare: Callable[[Path], object]) -> Iterator[Load]:
        sessions: list[ee.Session] = []

        def open_one(folder: Path, of: Load = ee.load, **options: Any) -> ee.Session:
            prepare(folder)
            session = of(folder, **{"backend": backend, "threads": 1, **options})
            sessions.append(session)
            return session

        yield open_one
        for session in sessions:
            session.close()


def assert_same(got: ee.Predictions, want: ee.Predictions) -> None:
    np.testing.assert_array_equal(got.exits, want.exits)
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)


def all_sizes(network: Any) -> range:
    """Numbers of images that take one, two and three turns."""
    return range(1, 2 * network.max_batch + 2)
