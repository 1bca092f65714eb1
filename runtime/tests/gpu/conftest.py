"""A run on a machine that lacks something has to fail and say what: it never skips everything.

With ``--engines double`` the tests run without a GPU, on the host's CUDA driver and the double of
TensorRT: ``make test-cuda`` does that, so that they are known to run before a device is at hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WAYS: dict[str, dict[str, Any]] = {
    "no graphs": {"graphs": False},
    "joined graphs": {"join_graphs": True},
    "polled": {"poll_us": 50},
    "mapped outputs": {"map_outputs": True},
    "copied outputs": {"map_outputs": False},
    "mapped images": {"map_images": True},
    "all": {"join_graphs": True, "poll_us": 50, "map_outputs": True, "map_images": True},
}
"""TensorRT's options beside the default, by what they are called here."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bundles", default="bundles", help="folder of exported bundles")
    parser.addoption(
        "--engines",
        default="tensorrt",
        choices=("tensorrt", "stand-in", "double"),
        help="stand-in: ONNX Runtime's CUDA kernels behind TensorRT's classes; double: no GPU",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``exported`` is every bundle in the folder of --bundles, which the kit fills.

    ``way`` is every way to run TensorRT's engines.
    """
    if "exported" in metafunc.fixturenames:
        folder = Path(metafunc.config.getoption("--bundles"))
        bundles = sorted(path.parent for path in folder.glob("*/manifest.json"))
        metafunc.parametrize("exported", bundles, ids=lambda path: path.name)
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", WAYS.values(), ids=WAYS)


class Outcomes:
    """How tests that need a GPU ended."""

    def __init__(self) -> None:
        self.passed = self.skipped = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "gpu" in report.keywords:
            self.passed += report.when == "call" and report.passed
            self.skipped += report.skipped

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and not self.passed and session.exitstatus == pytest.ExitCode.OK:
            sys.stderr.write("\nof the tests that need a GPU, all were skipped\n")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Outcomes())


@pytest.fixture(scope="session", autouse=True)
def cuda_libraries() -> None:
    """Load CUDA's libraries from their wheels, as an app does for onnxruntime-gpu."""
    import onnxruntime

    onnxruntime.preload_dlls()


@pytest.fixture
def ways() -> dict[str, dict[str, Any]]:
    """All of :data:`WAYS`, for tests that set them side by side."""
    return WAYS


@pytest.fixture
def context() -> Iterator[Any]:
    """The device's primary context, not pushed; it is given back after the test."""
    from edgeexit_runtime.backends.cuda.context import PrimaryContext

    context = PrimaryContext()
    yield context
    context.release()


@pytest.fixture
def make_engines(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], None]:
    """``make_engines(folder)`` gives a bundle engines of this device: see --engines."""
    engines = request.config.getoption("--engines")
    if engines == "double":
        build: Callable[[Path], None] = request.getfixturevalue("double_engines")
        return build
    if engines == "stand-in":
        monkeypatch.syspath_prepend(Path(__file__).parent)  # for the helper beside the tests
        from tensorrt_over_cuda import make_cuda_module, write_cuda_engines

        monkeypatch.setitem(sys.modules, "tensorrt", make_cuda_module())
        return write_cuda_engines
    from edgeexit_runtime.engines.building import build_engines, describe

    def build_here(folder: Path) -> None:
        for line in describe(build_engines(folder)):
            sys.stdout.write(f"\n{line}")

    return build_here


@pytest.fixture
def double_engines(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Engines of the double, whose driver was loaded in the place of CUDA's."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "host_cuda")
    from engine_records import write_engines
    from host_driver import open_driver
    from tensorrt_double import World, make_module

    monkeypatch.setitem(sys.modules, "tensorrt", make_module("tensorrt", World(open_driver())))
    return lambda folder: write_engines(folder) and None
