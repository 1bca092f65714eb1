"""The tiny bundle and the made-up reports as fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.fakes import FakeClock, FakeSession, numbered_images
from support.reports import report_with
from support.tiny_bundle import write_bundle, write_images

from edgeexit.bench import BenchReport


@pytest.fixture
def report() -> BenchReport:
    """Two exits that pay and one that does not, and a mixture that does."""
    return report_with(((0.5, 0.4), (0.9, 0.8), (1.3, 1.2)), (0.6, 0.5))


@pytest.fixture
def bundle_without_baseline(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "without", baseline=False)


@pytest.fixture
def leaving_at() -> Callable[[list[int], list[int]], NDArray[np.float32]]:
    return write_images


@pytest.fixture
def fakes() -> SimpleNamespace:
    """What results do not depend on timings with: ``Clock``, ``Session``, ``images``."""
    return SimpleNamespace(Clock=FakeClock, Session=FakeSession, images=numbered_images)
