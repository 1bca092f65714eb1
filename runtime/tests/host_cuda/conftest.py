"""Tests on a CUDA driver over the host's memory; ``make test-cuda`` builds it and runs them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
IS_BUILT = "EDGEEXIT_HOST_CUDA" in os.environ

collect_ignore_glob = [] if IS_BUILT else ["test_*.py"]

if IS_BUILT:
    sys.path.insert(0, str(HERE))  # for the helpers beside the tests
    from host_driver import HostDriver, open_driver

    DRIVER = open_driver()  # before PyCUDA is imported, which then finds this one

    @pytest.fixture
    def driver() -> Iterator[HostDriver]:
        """The driver; a test that leaves anything behind fails."""
        before = DRIVER.counts()
        yield DRIVER
        DRIVER.fail(0)
        DRIVER.set_total_memory(2**30)
        gc.collect()
        assert DRIVER.counts() == before, "left behind"
        assert DRIVER.depth() == 0, "a context is still pushed"
