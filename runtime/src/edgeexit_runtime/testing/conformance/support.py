"""Fixtures and helpers of the test classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgeexit_runtime as ee
from edgeexit_runtime.testing import NETWORKS, Network, write_bundle

Images = NDArray[np.float32]
Load = Callable[..., ee.Session]


class Suite:
    """Bundles, and sessions on the backend ``backend``, a fixture of the subclass."""

    @pytest.fixture
    def prepare(self) -> Callable[[Path], object]:
        """``prepare(folder)`` adds to a bundle what the backend needs besides the ONNX files."""
        return lambda folder: None

    @pytest.fixture
    def load(self, backend: str, prepare: Callable[[Path], object]) -> Iterator[Load]:
        """``load(folder, of=ee.load)`` opens a bundle with the backend under test."""
        sessions: list[ee.Session] = []

        def open_one(folder: Path, of: Load = ee.load, **options: Any) -> ee.Session:
            prepare(folder)
            session = of(folder, **{"backend": backend, "threads": 1, **options})
            sessions.append(session)
            return session

        yield open_one
        for session in sessions:
            session.close()

    @pytest.fixture(params=sorted(NETWORKS))
    def network(self, request: pytest.FixtureRequest) -> Network:
        """Every network in turn."""
        return NETWORKS[request.param]

    @pytest.fixture
    def folder(self, network: Network, tmp_path: Path) -> Path:
        """The bundle of ``network``."""
        return write_bundle(tmp_path / "bundle", network)

    @pytest.fixture
    def bundle(self, tmp_path: Path) -> Path:
        """The bundle of :data:`~edgeexit_runtime.testing.CHAIN`."""
        return write_bundle(tmp_path / "bundle")

    @pytest.fixture
    def session(self, load: Load, bundle: Path) -> ee.Session:
        """A session of this bundle."""
        return load(bundle)


def assert_same(got: ee.Predictions, want: ee.Predictions) -> None:
    """Assert equal labels and exits, and confidences equal within rounding."""
    np.testing.assert_array_equal(got.exits, want.exits)
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_allclose(got.confidences, want.confidences, rtol=1e-6)


def on_step_clock(session: ee.Session) -> ee.Session:
    """Return a session of the same runner whose clock counts a millisecond per step."""
    ticks = itertools.count()
    return ee.Session(session.manifest, session.runner, lambda: next(ticks) * 1_000_000)


def all_sizes(network: Network) -> range:
    """Return numbers of images that take one, two and three chunks."""
    return range(1, 2 * network.max_batch + 2)
