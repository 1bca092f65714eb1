"""Every backend that is installed here does alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conformance.answers import Answers
from conformance.failures import Failures
from conformance.files import ForeignFiles
from conformance.life import Life
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.backends.base import is_installed

# TensorRT needs a device: host_cuda and gpu run the same classes
HERE = [
    name
    for name, backend in BACKENDS.items()
    if "cpu" in map(str.lower, backend.devices) and all(map(is_installed, backend.modules))
]


@pytest.fixture(params=HERE)
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def prepare() -> Callable[[Path], object]:
    return lambda folder: None


class TestAnswers(Answers):
    pass


class TestLife(Life):
    pass


class TestFailures(Failures):
    pass


class TestForeignFiles(ForeignFiles):
    pass
