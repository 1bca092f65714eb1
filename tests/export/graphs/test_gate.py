"""The gate as ONNX nodes: what it answers of logits that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from edgeexit_runtime.backends.onnxruntime.bare import ModelInMemory
from edgeexit_runtime.backends.reference import open_reference_model
from edgeexit_runtime.bundle.manifest import GATE_DTYPES, GATE_OUTPUTS
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgeexit.export.graphs.gate import AXES_AS_INPUT, add_gate
from edgeexit.scores import SCORES

OPSETS = sorted({*AXES_AS_INPUT.values(), *(first - 1 for first in AXES_AS_INPUT.values()), 20})
CLASSES = 4
LOGITS = np.array([[0, 3, 1, 2], [5, 5, 0, 0], [-9, -9, -9, -8], [40, 0, 0, 0]], np.float32)


def gated_model(
    opset: int, dtype: int = TensorProto.FLOAT, score: str = "softmax", classes: int = CLASSES
) -> bytes:
    """Return a model that gives what it gets, with a gate behind it."""
    shape, node = ["batch", classes], helper.make_node("Identity", ["x"], ["y"])
    model = make_model([node], {"x": shape}, {"y": shape}, dtype=dtype, opset=opset)
    add_gate(model, "y", classes, score)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def gated(*args: Any, **more: Any) -> ModelInMemory:
    return open_reference_model(gated_model(*args, **more))


def run(model: ModelInMemory, logits: NDArray[Any], threshold: float) -> dict[str, NDArray[Any]]:
    return model.run({"x": logits, "threshold": np.array([threshold], np.float32)})


@pytest.mark.parametrize("opset", OPSETS)
def test_answers_are_those_of_the_softmax(opset: int) -> None:
    answers = run(gated(opset), LOGITS, 0.6)
    exponentials = np.exp(LOGITS.astype(np.float64))
    expected = (exponentials / exponentials.sum(1, keepdims=True)).max(1)
    assert [str(answers[name].dtype) for name in GATE_OUTPUTS] == list(GATE_DTYPES)
    np.testing.assert_array_equal(answers["logits"], LOGITS)
    np.testing.assert_allclose(answers["confidence"], expected, rtol=1e-6)
    np.testing.assert_array_equal(answers["label"], [1, 0, 3, 0])  # the first of equal ones
    np.testing.assert_array_equal(answers["exits"], expected >= 0.6)


def test_a_confidence_equal_to_the_threshold_leaves() -> None:
    session = gated(18)
    sure = run(session, LOGITS, 0.0)["confidence"]
    for row, confidence in enumerate(sure):
        assert run(session, LOGITS, float(confidence))["exits"][row]
        above = float(np.nextafter(confidence, np.float32(2)))
        assert not run(session, LOGITS, above)["exits"][row]


def test_logits_in_half_precision_come_out_in_single() -> None:
    answers = run(gated(18, TensorProto.FLOAT16), LOGITS.astype(np.float16), 0.6)
    assert answers["logits"].dtype == answers["confidence"].dtype == np.float32
    np.testing.assert_array_equal(answers["logits"], LOGITS)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("score", SCORES.names())
def test_a_graph_gives_the_score_that_numpy_gives(score: str, opset: int) -> None:
    for classes in (2, 1000):
        logits = np.random.default_rng(0).standard_normal((50, classes), np.float32)
        logits *= np.logspace(-3, 3, 50, dtype=np.float32)[:, None]
        logits[0] = 0
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = SCORES[score].of(powers / powers.sum(axis=1, keepdims=True))
        answers = run(gated(opset, score=score, classes=classes), logits, 0.5)
        np.testing.assert_allclose(answers["confidence"], expected, atol=3e-6)
        assert 0 <= answers["confidence"].min() <= answers["confidence"].max() <= 1 + 2**-10
        np.testing.assert_array_equal(answers["exits"], answers["confidence"] >= 0.5)
        np.testing.assert_array_equal(answers["label"], logits.argmax(axis=1))


def test_an_entropy_of_nan_is_nan_in_every_engine() -> None:
    """OpenVINO's smaller one of NaN and 1 is 1: images left with that confidence."""
    content = gated_model(18, score="entropy")
    logits = np.array([[np.nan] * 4, [np.inf, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    answers = run(open_reference_model(content), logits, 0.0)
    assert np.isnan(answers["confidence"]).tolist() == [True, True, False]
    openvino = pytest.importorskip("edgeexit_runtime.backends.openvino.library")
    core = openvino.new_core()
    model = core.compile_model(core.read_model(content), "CPU")
    got = model({"x": logits, "threshold": np.zeros(1, np.float32)})
    np.testing.assert_allclose(got["confidence"], answers["confidence"], atol=1e-6)
    assert got["exits"].tolist() == answers["exits"].tolist() == [False, False, True]


def test_one_class_has_no_second() -> None:
    with pytest.raises(ValueError, match="score margin: expected 2 classes or more, got 1"):
        gated(18, score="margin", classes=1)
