"""A classifier in 8 bits: the largest products there are, and images of other ranges in a batch."""

from __future__ import annotations

from collections.abc import Callable

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


Run = Callable[[bytes, NDArray[np.float32]], NDArray[np.float32]]
"""Runs a classifier on features (N, inputs)."""


def run_in_onnxruntime(content: bytes, features: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"features": features})
    return np.asarray(logits)


def run_in_openvino(content: bytes, features: NDArray[np.float32]) -> NDArray[np.float32]:
    pytest.importorskip("openvino")
    from edgeexit_runtime.backends.openvino.compiler import ModelCompiler

    inputs = TensorInfo("features", "float32", (INPUTS,))
    outputs = TensorInfo("logits", "float32", (CLASSES,))
    entry = GraphEntry("classifier.onnx", "", len(content), (inputs,), (outputs,))
    compiler = ModelCompiler("CPU", 1, half=False, may_saturate=False)
    (logits,) = compiler.compile(entry, content, gated=False, max_batch=2)(features).values()
    return np.array(logits)


@pytest.fixture(params=[run_in_onnxruntime, run_in_openvino])
def run(request: pytest.FixtureRequest) -> Run:
    engine: Run = request.param
    return engine


def test_sums_need_no_option(run: Run, weight: NDArray[np.float32]) -> None:
    features = IMAGES.copy()
    features[:, 0] = 0  # so that all others are the largest of their range
    logits = run(quantized_product(weight), features)
    np.testing.assert_allclose(logits, features @ weight, rtol=0, atol=TOLERANCE * INPUTS)


def test_logits_do_not_depend_on_the_rest_of_the_batch(run: Run) -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((INPUTS, CLASSES)).astype(np.float32)
    content = quantized_product(weight)
    image, other = rng.standard_normal((2, 1, INPUTS)).astype(np.float32)
    alone = run(content, image)
    beside = run(content, np.concatenate([image, 1000 * other]))
    np.testing.assert_allclose(beside[:1], alone, rtol=1e-6, atol=1e-6 * np.abs(alone).max())
    expected = image @ weight
    assert np.abs(alone - expected).max() < 0.02 * np.abs(expected).max()


def test_features_that_are_all_the_same(run: Run) -> None:
    weight = np.ones((INPUTS, CLASSES), np.float32)
    features = np.array([[0.0], [-3.0]], np.float32).repeat(INPUTS, axis=1)
    logits = run(quantized_product(weight), features)
    np.testing.assert_allclose(logits, features @ weight, rtol=1e-6)


@pytest.mark.parametrize("place", [0, 5, INPUTS - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_not_rounded_away(
    run: Run, weight: NDArray[np.float32], value: float, place: int
) -> None:
    features = np.random.default_rng(0).random((2, INPUTS)).astype(np.float32)
    content = quantized_product(weight)
    alone = run(content, features[1:])
    features[0, place] = value
    logits = run(content, features)
    assert np.isnan(logits[0]).all()
    np.testing.assert_array_equal(logits[1:], alone)
