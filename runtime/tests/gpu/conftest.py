"""Nothing here is skipped: a run on a machine that lacks something has to fail and say what."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bundles", default="bundles", help="folder of exported bundles")
    parser.addoption(
        "--engines",
        default="tensorrt",
        choices=("tensorrt", "stand-in"),
        help="stand-in: ONNX Runtime's CUDA kernels behind TensorRT's classes",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``exported`` is every bundle in the folder of --bundles, which the kit fills."""
    if "exported" in metafunc.fixturenames:
        folder = Path(metafunc.config.getoption("--bundles"))
        bundles = sorted(path.parent for path in folder.glob("*/manifest.json"))
        metafunc.parametrize("exported", bundles, ids=lambda path: path.name)


@pytest.fixture(scope="session", autouse=True)
def cuda_libraries() -> None:
    """Load CUDA's libraries from their wheels, as an app does for onnxruntime-gpu."""
    import onnxruntime

    onnxruntime.preload_dlls()


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
    if request.config.getoption("--engines") == "stand-in":
        monkeypatch.syspath_prepend(Path(__file__).parent)  # for the helper beside the tests
        from tensorrt_over_cuda import make_cuda_module, write_cuda_engines

        monkeypatch.setitem(sys.modules, "tensorrt", make_cuda_module())
        return write_cuda_engines
    from edgeexit_runtime.engines.building import build_engines, describe

    def build(folder: Path) -> None:
        for line in describe(build_engines(folder)):
            sys.stdout.write(f"\n{line}")

    return build
