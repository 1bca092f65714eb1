"""Sessions whose backend takes known times on a clock that only it moves."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import pytest
from support.timed_runner import TimedRunner


@pytest.fixture
def runner() -> TimedRunner:
    return TimedRunner()


@pytest.fixture
def session(bundle: Path, runner: TimedRunner) -> ee.Session:
    """A session of ``CHAIN``, which takes four images at a time, and the runner's clock."""
    return ee.Session(ee.load_manifest(bundle), runner, clock=lambda: runner.now)
