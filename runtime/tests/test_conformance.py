"""Every backend that is installed here does alike."""

from __future__ import annotations

import pytest
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.backends.base import is_installed
from edgeexit_runtime.testing.conformance import Conformance

# TensorRT needs a device: host_cuda and gpu run the same classes
HERE = [
    name
    for name, backend in BACKENDS.items()
    if "cpu" in map(str.lower, backend.devices) and all(map(is_installed, backend.modules))
]


class TestBackend(Conformance):
    @pytest.fixture(params=HERE)
    def backend(self, request: pytest.FixtureRequest) -> str:
        name: str = request.param
        return name
