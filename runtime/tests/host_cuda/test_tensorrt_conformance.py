"""TensorRT does what every backend does; its own files are test_tensorrt_engines.py's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions
from edgeexit_runtime.testing.conformance import Answers, Failures, Life

OTHER_WAYS = TensorRTOptions(
    join_graphs=True, poll_us=20, map_outputs=True, map_images=True, speculate_below=1
)


class TestTensorRT(Answers, Life, Failures):
    # TensorRT opens no ONNX files: see OnnxRuntimeBackend.cuda_graphs
    test_bare_graphs_are_run_as_the_bundles_own = None
    test_a_graph_that_fails = None  # an engine of one batch size is refused when it is loaded

    @pytest.fixture
    def backend(self) -> object:
        return "tensorrt"

    @pytest.fixture
    def prepare(self, build_engines: Callable[..., object]) -> Callable[[Path], object]:
        return build_engines


class TestOtherWays(TestTensorRT):
    @pytest.fixture
    def backend(self) -> object:
        return TensorRTBackend(OTHER_WAYS)
