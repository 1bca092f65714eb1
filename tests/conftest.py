"""Fixtures that every test may use."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.tiny_bundle import write_bundle

from edgeexit.models import MultiExitNet, make_spec

NetFactory = Callable[..., MultiExitNet]


@pytest.fixture(scope="session", autouse=True)
def torch_threads() -> None:
    """One thread: sums come out in the same order, and the networks here are too small for more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> None:
    """As in a terminal: nohup, and scripts in the background, start programs that ignore some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def tiny_net() -> NetFactory:
    """``tiny_net(branches="3+1", num_classes=10, seed=0)``: a ResNet-20 with known weights."""

    def build(branches: str = "3+1", num_classes: int = 10, seed: int = 0) -> MultiExitNet:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return MultiExitNet(make_spec("resnet20", branches, num_classes))

    return build


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of the tiny bundle, see :mod:`support.tiny_bundle`."""
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is the current one; what is imported from it does not stay."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def quick_benchmarks(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Benchmarks neither settle nor measure peaks with large graphs: no test looks at figures.

    Nor do they read the sensors of this machine, whatever it has: that takes ten seconds and more.
    """
    monkeypatch.setattr("edgeexit.bench.run.SYSFS", tmp_path_factory.getbasetemp() / "no sysfs")
    monkeypatch.setattr("edgeexit_runtime.timing.turns.SETTLE_S", 0.0)
    monkeypatch.setattr("edgeexit.bench.roofline.peaks.MATRIX_SIZES", (16, 32))
    monkeypatch.setattr("edgeexit.bench.roofline.peaks.CACHED_BYTES", (2**10, 2**12))
    monkeypatch.setattr("edgeexit.bench.roofline.peaks.uncached_bytes", lambda: 2**16)
