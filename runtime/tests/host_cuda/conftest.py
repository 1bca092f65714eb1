"""Tests on a CUDA driver over the host's memory; ``make test-cuda`` builds it and runs them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

IS_BUILT = "EDGEEXIT_HOST_CUDA" in os.environ

collect_ignore_glob = [] if IS_BUILT else ["test_*.py"]

if IS_BUILT:
    sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside the tests
    from edgeexit_runtime.bundle.engine_entry import EngineEntry
    from engine_records import write_engines
    from host_driver import HostDriver, open_driver
    from tensorrt_double import World, make_module

    DRIVER = open_driver()  # before PyCUDA is imported, which then finds this one

    @pytest.fixture
    def driver() -> Iterator[HostDriver]:
        """The driver; a test that leaves anything behind fails."""
        before = DRIVER.counts()
        yield DRIVER
        DRIVER.fail(0)
        DRIVER.set_total_memory(2**30)
        DRIVER.set_cached_memory(0)
        DRIVER.set_integrated(False)
        gc.collect()
        assert DRIVER.counts() == before, "left behind"
        DRIVER.forget_functions()
        assert DRIVER.depth() == 0, "a context is still pushed"

    @pytest.fixture
    def world(driver: HostDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
        """The double in TensorRT's place; a run that failed unseen fails the test."""
        world = World(driver)
        for name in ("tensorrt", "tensorrt_rtx"):
            monkeypatch.setitem(sys.modules, name, make_module(name, world))
        yield world
        gc.collect()
        assert world.failures == []
        assert world.alive == {"runtime": 0, "engine": 0, "context": 0}

    @pytest.fixture
    def build_engines(world: World) -> Callable[..., dict[str, EngineEntry]]:
        """``build_engines(folder)`` makes an engine of every graph, and records them.

        ``library`` and the sizes of an :class:`EngineSpec` may be given. It returns the records by
        graph.
        """
        return write_engines

    @pytest.fixture
    def folder(
        network: Any, write_bundle: Callable[[Any], Path], build_engines: Callable[..., Any]
    ) -> Path:
        """The bundle of every network in turn, with engines."""
        folder = write_bundle(network)
        build_engines(folder)
        return folder

    @pytest.fixture
    def chain_folder(bundle: Path, build_engines: Callable[..., Any]) -> Path:
        """The bundle of a chain, with engines."""
        build_engines(bundle)
        return bundle
