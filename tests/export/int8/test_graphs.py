"""Q/DQ graphs: what is rounded, by which scales, and how far from the FP32 values that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from edgeexit_runtime.backends.onnxruntime.sessions import SessionOpener
from edgeexit_runtime.backends.reference import open_reference_model
from edgeexit_runtime.bundle.manifest import GraphEntry
from edgeexit_runtime.bundle.quantization_entry import MethodScore
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeexit.errors import DataError, ExportError
from edgeexit.export import TARGETS, CalibrationImages, Graph, Quantization
from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.int8 import graphs as int8_module
from edgeexit.export.int8.calibration import measure_ranges
from edgeexit.export.int8.graphs import HOLD_OUT_EVERY, SEED, QuantizedGraphs, quantize_graphs

FALLBACKS = ("fp32", "fp16")
CPU = ["CPUExecutionProvider"]
THRESHOLDS = {"exit1": 0.8, "exit2": 0.7}
GATE = ["Softmax", "ReduceMax", "ArgMax", "GreaterOrEqual"]


@pytest.fixture(scope="module")
def minmax(
    residual_graphs: tuple[Graph, ...], calibration: CalibrationImages
) -> dict[str, QuantizedGraphs]:
    return {
        fallback: quantize_graphs(
            residual_graphs, Quantization("all", "minmax", fallback), calibration, THRESHOLDS
        )
        for fallback in FALLBACKS
    }


def load(graphs: Sequence[Graph]) -> dict[str, onnx.ModelProto]:
    return {graph.name: onnx.load_from_string(graph.content) for graph in graphs}


def constants(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def rounded_inputs(model: onnx.ModelProto) -> dict[str, list[bool]]:
    """By first output of a node other than Q/DQ, which of its inputs come from 8 bits."""
    dequantized = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    return {
        node.output[0]: [name in dequantized for name in node.input]
        for node in model.graph.node
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear")
    }


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_weights_are_int8_per_channel_and_at_most_half_a_step_off(
    fallback: str, minmax: dict[str, QuantizedGraphs], residual_graphs: tuple[Graph, ...]
) -> None:
    before, after = load(residual_graphs), load(minmax[fallback].graphs)
    checked = 0
    for name, model in after.items():
        values, originals = constants(model), constants(before[name])
        for node in model.graph.node:
            if node.op_type != "DequantizeLinear" or node.input[0] not in values:
                continue
            stored, scales, zeros = (values[tensor] for tensor in node.input)
            axis = {item.name: item.i for item in node.attribute}["axis"]
            original = originals[node.input[0].removesuffix("_quantized")]
            assert stored.dtype == zeros.dtype == np.int8
            assert scales.dtype == (np.float16 if fallback == "fp16" else np.float32)
            assert scales.shape == zeros.shape == (original.shape[axis],)
            assert not zeros.any()
            assert stored.min() >= -127
            assert len(np.unique(scales)) > 1, "one scale for all channels would do this too"
            shape = [-1 if index == axis else 1 for index in range(original.ndim)]
            step = scales.astype(np.float64).reshape(shape)
            # FP16 scales are rounded, so that the largest weight may lie 127 roundings outside
            slack = 127 * 2**-11 if fallback == "fp16" else 1e-4
            assert (np.abs(stored * step - original) <= step * (0.5 + slack)).all()
            assert (np.abs(stored).reshape(-1).max()) == 127
            checked += 1
    assert checked == 1 + 10 + 2 + 1 + 3 + 1 + 7, "graph by graph"


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_scales_are_the_largest_magnitude_of_the_features_that_flow(
    fallback: str,
    minmax: dict[str, QuantizedGraphs],
    residual_graphs: tuple[Graph, ...],
    calibration: CalibrationImages,
) -> None:
    """Stage m + 1 and exit m see what stage m gives in FP32."""
    models = load(minmax[fallback].graphs)
    scales = {
        name: {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        for name, model in models.items()
    }
    watched = {
        name: [scale.removesuffix("_scale") for scale in found] for name, found in scales.items()
    }
    checked = 0
    flow = GraphFlow(residual_graphs, watched)
    for name, inputs, outputs in flow.run(calibration.images):
        values, flowing = constants(models[name]), {**inputs, **outputs}
        for tensor in watched[name]:
            scale, zero = values[f"{tensor}_scale"], values[f"{tensor}_zero_point"]
            assert scale.dtype == (np.float16 if fallback == "fp16" else np.float32)
            expected = np.abs(flowing[tensor]).max() / 127
            np.testing.assert_allclose(scale, expected, rtol=2**-10, err_msg=tensor)
            assert zero.dtype == np.int8
            assert zero == 0
            checked += 1
    assert checked == 1 + 10 + 2 + 1 + 3 + 1 + 7


def test_what_is_rounded(minmax: dict[str, QuantizedGraphs]) -> None:
    models = load(minmax["fp32"].graphs)
    for name, model in models.items():
        rounded = rounded_inputs(model)
        operators = {node.output[0]: node for node in model.graph.node}
        pooled = {n.output[0] for n in model.graph.node if n.op_type == "ReduceMean"}
        gates = set()
        for node in model.graph.node:  # fc1, ReLU, fc2, sigmoid behind a pooling
            if pooled & set(node.input) and node.op_type in ("Conv", "Relu", "Sigmoid"):
                gates.add(node.output[0])
                pooled.add(node.output[0])
        for output, inputs in rounded.items():
            node = operators[output]
            if output in gates or node.op_type in (*GATE, "Mul", "Relu", "Reshape", "ReduceMean"):
                assert not any(inputs), f"{name}: {node.op_type} {output}"
            elif node.op_type in ("Conv", "Gemm"):  # bias in floating point
                assert inputs == [True, True, False], f"{name}: {output}"
            elif node.op_type == "Add":  # the shortcut alone: the other is a convolution's
                assert sorted(inputs) == [False, True], f"{name}: {output}"
                plain = operators[node.input[inputs.index(False)]]
                assert plain.op_type == "Conv"
        assert (len(gates) > 0) == (name == "exit1")
    additions = [sum(n.op_type == "Add" for n in model.graph.node) for model in models.values()]
    assert dict(zip(models, additions, strict=True)) == {
        **{"stage1": 0, "exit1": 2, "stage2": 1, "exit2": 0, "stage3": 1, "final": 0},
        "baseline": 2,
    }
    assert any(node.op_type == "Gemm" for node in models["final"].graph.node)


@pytest.mark.parametrize("fallback", FALLBACKS)
def test_what_is_not_rounded_is_in_the_fallback(
    fallback: str, minmax: dict[str, QuantizedGraphs]
) -> None:
    dtype = {"fp32": onnx.TensorProto.FLOAT, "fp16": onnx.TensorProto.FLOAT16}[fallback]
    for graph in minmax[fallback].graphs:
        model = onnx.load_from_string(graph.content)
        types = {t.name: t.data_type for t in model.graph.initializer}
        excitation = [name for name in types if "excitation" in name]
        assert bool(excitation) == (graph.name == "exit1")
        assert all(types[name] == dtype for name in excitation)
        outer = {
            t.name: t.type.tensor_type.elem_type for t in (*model.graph.input, *model.graph.output)
        }
        for info in (*graph.inputs, *graph.outputs):
            if info.name.startswith("stage"):
                assert outer[info.name] == dtype
                assert info.dtype == {"fp32": "float32", "fp16": "float16"}[fallback]
        for name in ("images", "threshold", "logits", "confidence"):
            assert outer.get(name, onnx.TensorProto.FLOAT) == onnx.TensorProto.FLOAT


def test_methods_cut_off_what_they_say(residual_graphs: tuple[Graph, ...]) -> None:
    """One value of 1,000 standard deviations: minmax keeps it, the others do not."""
    images = np.random.default_rng(0).standard_normal((20, 3, 16, 16), np.float32)
    images[3, 1, 2, 2] = 1000
    tensors = {"stage1": ("images",)}
    methods = ("minmax", "entropy", "percentile")
    found = measure_ranges(residual_graphs[:1], tensors, images, methods)
    bounds = {method: found[method]["stage1"]["images"] for method in methods}
    assert bounds["minmax"] == (images.min(), 1000)
    largest = {method: greatest for method, (_, greatest) in bounds.items()}
    ordinary = np.sort(np.abs(images), axis=None)[-2]
    assert largest["entropy"] <= 500
    # one in 10,000 of 15,360 values is cut off; a bin is 1,000 / 2,048 wide
    assert ordinary * 0.5 < largest["percentile"] < 10
    for least, greatest in bounds.values():  # what is cut off above is no reason to cut below
        assert images.min() <= least < 0 < greatest
        assert least >= -greatest


def test_ranges_of_a_tensor_of_zeros_are_usable(residual_graphs: tuple[Graph, ...]) -> None:
    images = np.zeros((2, 3, 16, 16), np.float32)
    found = measure_ranges(residual_graphs[:1], {"stage1": ("images",)}, images, ("minmax",))
    assert found["minmax"]["stage1"]["images"] == (0, 0)
    rounding = TARGETS["tensorrt"].rounding((0.0, 0.0), np.dtype(np.float16))
    assert 0 < rounding.scale < 1e-5


def answers_of(
    graphs: Sequence[Graph], images: NDArray[np.float32]
) -> dict[str, Mapping[str, NDArray[Any]]]:
    """What every exit says of a batch."""
    parts = [graph for graph in graphs if graph.name != "baseline"]
    flow = GraphFlow(parts, None, THRESHOLDS).run(images)
    return {name: outputs for name, _, outputs in flow if "exits" in outputs}


def test_auto_keeps_the_best_on_images_that_no_range_was_measured_on(
    residual_graphs: tuple[Graph, ...], calibration: CalibrationImages
) -> None:
    twice = np.concatenate([calibration.images, calibration.images[:9]])
    images = dataclasses.replace(calibration, images=twice)
    result = quantize_graphs(residual_graphs, Quantization(), images, THRESHOLDS)
    entry = result.entry
    assert entry.candidates is not None
    assert set(entry.candidates) == {"minmax", "entropy", "percentile"}
    assert entry.candidates[entry.method] == max(entry.candidates.values())
    assert len({score.closeness for score in entry.candidates.values()}) == 3
    kept, held_out = calibration.split(SEED, HOLD_OUT_EVERY)
    assert (entry.samples, entry.held_out) == (len(kept.images), len(held_out.images)) == (30, 7)
    again = quantize_graphs(residual_graphs, Quantization("all", entry.method), kept, THRESHOLDS)
    assert [graph.content for graph in again.graphs] == [graph.content for graph in result.graphs]
    expected = answers_of(residual_graphs, held_out.images)
    got = answers_of(again.graphs, held_out.images)
    score = entry.candidates[entry.method]
    for share, name in ((score.equal_decisions, "exits"), (score.equal_labels, "label")):
        equal = [got[exit_][name] == expected[exit_][name] for exit_ in expected]
        assert share == pytest.approx(np.mean(equal))
    off = [
        np.abs(got[exit_]["logits"] - it["logits"]).mean() / np.abs(it["logits"]).max()
        for exit_, it in expected.items()
    ]
    assert score.closeness == pytest.approx(-np.mean(off), rel=1e-4)


def test_decisions_count_before_labels_and_labels_before_logits() -> None:
    assert MethodScore(0.95, 0.5, 0) > MethodScore(0.9, 1, 2)
    assert MethodScore(0.9, 0.8, 0) > MethodScore(0.9, 0.7, 2)
    assert MethodScore(0.9, 0.8, 2) > MethodScore(0.9, 0.8, 1)


def test_refusals(residual_graphs: tuple[Graph, ...], calibration: CalibrationImages) -> None:
    few = dataclasses.replace(calibration, images=calibration.images[:9])
    with pytest.raises(
        DataError,
        match=r"^noise to calibrate on: --method auto takes 10 different images or more, got 9; "
        r"add some, or choose --method minmax$",
    ):
        quantize_graphs(residual_graphs, Quantization(), few, THRESHOLDS)
    copies = dataclasses.replace(calibration, images=np.concatenate([few.images, few.images]))
    with pytest.raises(DataError, match=r"takes 10 different images or more, got 9"):
        quantize_graphs(residual_graphs, Quantization(), copies, THRESHOLDS)
    with pytest.raises(ExportError, match=r"INT8 needs images .* give --calibration-data$"):
        quantize_graphs(residual_graphs, Quantization(), None, THRESHOLDS)
    for wrong, message in (
        ({"extent": "most"}, "extent: expected one of all, classifier, got 'most'"),
        ({"method": "kl"}, "method: expected one of minmax, entropy, percentile, auto, got 'kl'"),
        ({"fallback": "bf16"}, "fallback: expected one of fp32, fp16, got 'bf16'"),
    ):
        with pytest.raises(ExportError, match=f"^{message}$"):
            Quantization(**wrong)
    pooling = Graph("stage1", no_layers(), (), ())
    with pytest.raises(ExportError, match="no convolution or linear layer to quantize"):
        quantize_graphs([pooling], Quantization(), calibration, THRESHOLDS)


def test_features_beyond_the_steps_of_fp16(
    residual_graphs: tuple[Graph, ...], calibration: CalibrationImages
) -> None:
    large = CalibrationImages("x", calibration.images * np.float32(1e8))
    half = Quantization(fallback="fp16", method="minmax")
    with pytest.raises(ExportError) as raised:
        quantize_graphs(residual_graphs, half, large, THRESHOLDS)
    message = str(raised.value)
    assert message.startswith("stage1: expected features up to 8.3e+06")
    assert "FP16" in message
    assert "of images; choose --fallback fp32" in message
    whole = Quantization(fallback="fp32", method="minmax")
    assert quantize_graphs(residual_graphs, whole, large, THRESHOLDS).graphs


def no_layers() -> bytes:
    node, shape = onnx.helper.make_node("Relu", ["images"], ["out"]), ["batch", 3]
    return bytes(make_model([node], {"images": shape}, {"out": shape}).SerializeToString())


def test_biases_beside_fp16_steps_are_those_of_the_file(
    residual_graphs: tuple[Graph, ...],
) -> None:
    """ONNX Runtime would round them to multiples of the two scales' product, in FP16."""
    half = Quantization(fallback="fp16")
    recipe = int8_module._Recipe(residual_graphs[-1:], half)
    small = dict.fromkeys(recipe.tensors["baseline"], (-0.02, 0.02))
    (graph,) = recipe.apply({"baseline": small})
    entry = GraphEntry("baseline.onnx", "", len(graph.content), graph.inputs, graph.outputs)
    images = np.random.default_rng(0).standard_normal((4, 3, 16, 16), np.float32)
    feeds = {"images": images, "threshold": np.zeros(1, np.float32)}
    expected = open_reference_model(graph.content, is_optimized=False).run(feeds)["logits"]
    errors = {}
    for half_scales in (True, False):
        opener = SessionOpener(None, CPU, 1, half_scales=half_scales)
        (got,) = opener.open_graph(entry, graph.content, gated=True).run(["logits"], feeds)
        errors[half_scales] = np.abs(got - expected).max() / np.abs(expected).max()
    assert errors[True] < 2e-3 < errors[False], "the second says that it is still needed"
