"""TensorRT does what every backend does; its own files are test_tensorrt_engines.py's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.answers import Answers
from conformance.failures import Failures
from conformance.life import Life


@pytest.fixture
def backend() -> str:
    return "tensorrt"


@pytest.fixture
def prepare(build_engines: Callable[..., object]) -> Callable[[Path], object]:
    return build_engines


class TestAnswers(Answers):
    pass


class TestLife(Life):
    # TensorRT opens no ONNX files: see OnnxRuntimeBackend.cuda_graphs
    test_bare_graphs_are_run_as_the_bundles_own = None


class TestFailures(Failures):
    test_a_graph_that_fails = None  # an engine of one batch size is refused when it is loaded
