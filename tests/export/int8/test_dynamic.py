"""A classifier in 8 bits with the largest products there are: no engine sums them in 16 bits."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import helper

from edgeexit.export.int8.dynamic import find_classifier, quantize_classifier

INPUTS, CLASSES = 1024, 128
IMAGES = np.ones((2, INPUTS), np.float32)
TOLERANCE = 1e-4  # saturation would take half


def quantized_product(weight: NDArray[np.float32]) -> bytes:
    node = helper.make_node("MatMul", ["features", "weight"], ["logits"])
    model = make_model(
        [node], {"features": ["n", INPUTS]}, {"logits": ["n", CLASSES]}, {"weight": weight}
    )
    classifier = find_classifier(model)
    assert classifier is not None
    quantize_classifier(model, classifier)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(params=["ones", "of either sign"])
def weight(request: pytest.FixtureRequest) -> NDArray[np.float32]:
    is_below = np.random.default_rng(0).random((INPUTS, CLASSES)) < 0.5
    ones = np.ones((INPUTS, CLASSES), np.float32)
    return ones if request.param == "ones" else np.where(is_below, -ones, ones)


def test_onnxruntime_needs_no_option(weight: NDArray[np.float32]) -> None:
    session = onnxruntime.InferenceSession(
        quantized_product(weight), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(None, {"features": IMAGES})
    np.testing.assert_allclose(logits, IMAGES @ weight, rtol=0, atol=TOLERANCE * INPUTS)


def test_openvino_needs_no_option(weight: NDArray[np.float32]) -> None:
    pytest.importorskip("openvino")
    from edgeexit_runtime.backends.openvino.compiler import ModelCompiler

    content = quantized_product(weight)
    features = TensorInfo("features", "float32", (INPUTS,))
    logits_info = TensorInfo("logits", "float32", (CLASSES,))
    entry = GraphEntry("classifier.onnx", "", len(content), (features,), (logits_info,))
    compiler = ModelCompiler("CPU", 1, half=False, may_saturate=False)
    (logits,) = compiler.compile(entry, content, gated=False, max_batch=2)(IMAGES).values()
    np.testing.assert_allclose(logits, IMAGES @ weight, rtol=0, atol=TOLERANCE * INPUTS)
