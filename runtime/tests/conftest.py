"""The tiny bundles of :mod:`edgeexit_runtime.testing` as fixtures, and failures at any line."""

from __future__ import annotations

import linecache
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import edgeexit_runtime
import edgeexit_runtime.testing as tiny
import numpy as np
import pytest
from edgeexit_runtime import Predictions
from edgeexit_runtime.testing import NETWORKS, Network
from numpy.typing import NDArray

PACKAGE = Path(edgeexit_runtime.__file__).parent


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """As in a terminal: nohup, and scripts in the background, start programs that ignore some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> Network:
    """Every network in turn."""
    return NETWORKS[request.param]


@pytest.fixture
def chain() -> Network:
    """Three stages with one tensor each, exits ``exit1``, ``exit2`` and ``final``."""
    return tiny.CHAIN


@pytest.fixture
def write_bundle(tmp_path: Path) -> Callable[[Network], Path]:
    """``write_bundle(network)`` writes its bundle and returns the folder."""
    return lambda network: tiny.write_bundle(tmp_path / "bundle", network)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of the bundle of ``chain``."""
    return tiny.write_bundle(tmp_path / "bundle")


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict[str, Any]], object]], None]:
    """``edit_manifest(folder, change)`` writes what ``change`` makes of the manifest's JSON."""
    return tiny.edit_manifest


@pytest.fixture
def replace_graph() -> Callable[[Path, str, bytes], None]:
    """``replace_graph(folder, name, content)`` gives a graph other contents, hash and all."""
    return tiny.replace_graph


@pytest.fixture
def random_images() -> Callable[[int, int], NDArray[np.float32]]:
    """``random_images(count, seed)``: (count, 3, 4, 4), multiples of 1/8 that are exact in FP16."""
    return tiny.random_images


@pytest.fixture
def images_leaving_at() -> Callable[[list[int]], NDArray[np.float32]]:
    """``images_leaving_at([1, 0])``: images that ``chain`` is sure of there and not before."""
    return tiny.images_leaving_at


@pytest.fixture
def expected() -> Callable[[Network, NDArray[np.float32], Mapping[str, float]], Predictions]:
    """``expected(network, images, thresholds)``: the answers, one image after the other."""
    return Network.expected


@pytest.fixture
def fail_at() -> type[Failure]:
    """``with fail_at(error, step) as failure:`` raises at a line; did ``failure.has_come``?"""
    return Failure


class Failure:
    """Raises ``error`` before the ``step``-th line that the runtime runs, as a signal would.

    ``but`` names a file whose lines do not count.
    """

    def __init__(self, error: BaseException, step: int, but: str = "") -> None:
        self.error = error
        self.left = step
        self.but = but

    def __enter__(self) -> None:
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    @property
    def has_come(self) -> bool:
        return self.left < 0

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        path = Path(frame.f_code.co_filename)
        return self._step if PACKAGE in path.parents and path.name != self.but else None

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        # at these nobody would leave the "with" around them; no signal is handled there
        if event == "line" and not line.startswith(("with ", "try:")):
            self.left -= 1
            if self.left == -1:
                raise self.error
        return self._step
