"""Every backend that is installed here does alike."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import onnx
import pytest
from edgeexit_runtime.backends import BACKENDS
from edgeexit_runtime.backends.base import is_installed
from edgeexit_runtime.testing import random_images, replace_graph
from edgeexit_runtime.testing.conformance import Conformance
from edgeexit_runtime.testing.conformance.failures import ANSWERING, CALLS, changed_by
from edgeexit_runtime.testing.conformance.support import Load

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

    @pytest.mark.parametrize("call", ANSWERING)
    @pytest.mark.parametrize("count", [1, 3])
    def test_an_infinite_logit_is_found(
        self, load: Load, bundle: Path, count: int, call: str
    ) -> None:
        """If it was the first class's, OpenVINO's largest of the softmax was 0 where it is NaN."""
        model = onnx.load(bundle / "exit1.onnx")
        (node,) = (node for node in model.graph.node if "logits" in node.output)
        node.output[:] = ["before"]
        add = changed_by("Add", np.array([np.inf, 0, 0], np.float32))("before", "logits")
        for place, more in enumerate(add, start=1 + list(model.graph.node).index(node)):
            model.graph.node.insert(place, more)
        replace_graph(bundle, "exit1", model.SerializeToString())
        with load(bundle) as session, pytest.raises(ee.BackendError, match=r"^exit1: .* got nan"):
            CALLS[call](session, random_images(count, 0))
