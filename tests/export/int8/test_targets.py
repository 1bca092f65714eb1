"""Every quantization target is close to FP32, TensorRT's is as ever, and CPUs' is fused whole."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgeexit_runtime.backends.reference import open_reference_model
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.handmade import exit_model, stage_model

from edgeexit.errors import ExportError, UnknownNameError
from edgeexit.export import TARGETS, CalibrationImages, Graph, Quantization
from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.int8.graphs import QuantizedGraphs, quantize_graphs
from edgeexit.export.int8.nodes import insert_qdq
from edgeexit.export.int8.rounding import unsigned_asymmetric
from edgeexit.export.int8.targets.cpu import plan_cpu, prepare_cpu

CPU = ["CPUExecutionProvider"]
IMAGES = np.random.default_rng(5).standard_normal((7, 3, 8, 8), np.float32)
THRESHOLDS = {"exit1": 0.8, "exit2": 0.7}
FLOAT_OPERATORS = {"Softmax", "ReduceMax", "ArgMax", "Cast", "GreaterOrEqual"}  # the gate's


@pytest.fixture(scope="module")
def made(
    residual_graphs: tuple[Graph, ...], calibration: CalibrationImages
) -> dict[str, QuantizedGraphs]:
    return {
        name: quantize_graphs(
            residual_graphs, Quantization("all", "minmax", target=name), calibration, THRESHOLDS
        )
        for name in TARGETS.names()
    }


def optimized(content: bytes, folder: Path) -> onnx.ModelProto:
    """What ONNX Runtime's CPU provider runs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(content, options, providers=CPU)
    return onnx.load(folder / "optimized.onnx")


def run(model: onnx.ModelProto, **feeds: NDArray[np.generic]) -> dict[str, NDArray[np.float32]]:
    """Run a model as it is written, nothing fused."""
    return open_reference_model(model.SerializeToString(), is_optimized=False).run(feeds)


DIGESTS = {
    (stage_model, np.float32): "c88d2f44ef6125f67b146a7b6bbc0232",
    (exit_model, np.float32): "6e33f0a32540e0c25f664ab21529c0f1",
    (stage_model, np.float16): "7bb47c0233ab5d9ad59b3683b04c785d",
    (exit_model, np.float16): "386ab8294a108b4cd1c2b5f2b79ae8ed",
}


@pytest.mark.parametrize(("write", "dtype"), DIGESTS)
def test_tensorrt_is_the_same_bytes_as_before_there_were_targets(
    write: Callable[[], onnx.ModelProto], dtype: type[np.floating]
) -> None:
    target, scale_type = TARGETS["tensorrt"], np.dtype(dtype)
    model = write()
    target.prepare(model)
    plan = target.plan(model)
    bounds = {name: (-0.1, (place + 1) * 0.37) for place, name in enumerate(plan.tensors)}
    roundings = {name: target.rounding(found, scale_type) for name, found in bounds.items()}
    insert_qdq(model, plan, roundings, scale_type)
    content = model.SerializeToString(deterministic=True)
    assert hashlib.sha256(content).hexdigest().startswith(DIGESTS[write, dtype])


@pytest.mark.parametrize("name", TARGETS.names())
def test_every_target_is_close_to_fp32(
    name: str,
    made: dict[str, QuantizedGraphs],
    residual_graphs: tuple[Graph, ...],
    samples: NDArray[np.float32],
) -> None:
    def logits(graphs: tuple[Graph, ...]) -> dict[str, NDArray[np.float32]]:
        flowing = GraphFlow(graphs, None, THRESHOLDS).run(samples)
        return {part: outputs["logits"] for part, _, outputs in flowing if "logits" in outputs}

    expected, got = logits(residual_graphs), logits(made[name].graphs)
    assert set(got) == {"exit1", "exit2", "final", "baseline"}
    for part, values in got.items():
        error = np.abs(values - expected[part]).mean() / np.abs(expected[part]).max()
        assert 0 < error < 0.03, part
    entry = made[name].entry
    assert entry.target == TARGETS[name].entry
    assert entry.target.name == name


def test_weights_are_of_the_bits_that_the_entry_says(made: dict[str, QuantizedGraphs]) -> None:
    for name, quantized in made.items():
        largest = max(
            int(np.abs(numpy_helper.to_array(tensor).astype(np.int64)).max())
            for graph in quantized.graphs
            for tensor in onnx.load_from_string(graph.content).graph.initializer
            if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1
        )
        assert largest == {7: 63, 8: 127}[TARGETS[name].entry.weight_bits]
        assert quantized.entry.needs_vnni == (largest == 127)


def test_7_bits_give_the_same_with_every_kernel(
    made: dict[str, QuantizedGraphs], samples: NDArray[np.float32]
) -> None:
    """On a CPU without VNNI the kernels of this onnxruntime sum in 16 bits, and in 32 if asked."""
    (baseline,) = (graph for graph in made["cpu-7bit"].graphs if graph.name == "baseline")
    feeds, answers = {"images": samples, "threshold": np.ones(1, np.float32)}, []
    for widened in ("0", "1"):
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.x64quantprecision", widened)
        session = onnxruntime.InferenceSession(baseline.content, options, providers=CPU)
        answers.append(session.run(["logits"], feeds)[0])
    np.testing.assert_array_equal(*answers)


def test_names_of_targets() -> None:
    with pytest.raises(UnknownNameError, match="unknown quantization target 'cpus': did you mean"):
        Quantization(target="cpus")
    with pytest.raises(ExportError, match="fallback: target cpu takes fp32, got 'fp16'"):
        Quantization(fallback="fp16", target="cpu")


def test_onnxruntime_fuses_every_layer_for_cpus(
    made: dict[str, QuantizedGraphs], tmp_path: Path
) -> None:
    convolutions = 0
    for graph in made["cpu"].graphs:
        before = Counter(n.op_type for n in onnx.load_from_string(graph.content).graph.node)
        after = Counter(n.op_type for n in optimized(graph.content, tmp_path).graph.node)
        assert after["QLinearConv"] == before["Conv"], graph.name
        assert after["QGemm"] == before["Gemm"], graph.name
        assert after["QLinearAdd"] == before["Add"], graph.name
        others = {"Conv", "Gemm", "MatMul", "Add", "Mul", "Relu", "ReduceMean", "Sigmoid"}
        assert not others & set(after), graph.name
        assert after["DequantizeLinear"] == 0, graph.name
        # the images alone are floating point when they come
        assert after["QuantizeLinear"] == (graph.name in ("stage1", "baseline")), graph.name
        convolutions += after["QLinearConv"]
    assert convolutions > 20


def test_features_cross_in_8_bits(made: dict[str, QuantizedGraphs]) -> None:
    graphs, entry = made["cpu"].graphs, made["cpu"].entry
    written = [info for graph in graphs for info in graph.outputs if info.name.startswith("stage")]
    assert set(entry.features) == {info.name for info in written}
    assert len(written) == 3
    for graph in graphs:
        model = onnx.load_from_string(graph.content)
        values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        ports = (*model.graph.input, *model.graph.output)
        types = {port.name: port.type.tensor_type.elem_type for port in ports}
        producers = {node.output[0]: node for node in model.graph.node}
        for info in (*graph.inputs, *graph.outputs):
            if info.name not in entry.features:
                assert types[info.name] != TensorProto.UINT8
                assert info.dtype != "uint8"
                continue
            assert types[info.name] == TensorProto.UINT8
            assert info.dtype == "uint8"
            rounding = entry.features[info.name]
            ends = [n for n in model.graph.node if n.input[0] == info.name]
            if info in graph.outputs:
                assert producers[info.name].op_type == "QuantizeLinear"
                ends = [producers[info.name]]
            for node in ends:
                if node.op_type in ("Reshape", "Transpose"):  # they move 8 bits
                    continue
                assert node.op_type in ("QuantizeLinear", "DequantizeLinear")
                assert values[node.input[1]] == np.float32(rounding.scale)
                assert values[node.input[2]] == rounding.zero_point
    images = {info.dtype for graph in graphs for info in graph.inputs if info.name == "images"}
    assert images == {"float32"}


@pytest.mark.parametrize("write", [stage_model, exit_model])
def test_a_graph_prepared_for_cpus_gives_what_it_gave(
    write: Callable[[], onnx.ModelProto],
) -> None:
    before, after = write(), write()
    prepare_cpu(after)
    onnx.checker.check_model(after, full_check=True)
    features = np.random.default_rng(0).standard_normal((5, 8, 4, 4), np.float32)
    feeds = {"images": IMAGES} if write is stage_model else {"stage1_out": features}
    if write is exit_model:
        feeds["threshold"] = np.full(1, 0.3, np.float32)
    expected, got = run(before, **feeds), run(after, **feeds)
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-5, atol=1e-5)
    operators = Counter(node.op_type for node in after.graph.node)
    assert operators["ReduceMean"] == 0
    assert operators["Transpose"] == (write is exit_model)  # its classifier reads channels last
    assert operators["Pad"] == (write is stage_model)  # three channels, then eight
    weights = [tensor.dims[1] for tensor in after.graph.initializer if len(tensor.dims) == 4]
    assert all(channels % 4 == 0 for channels in weights)


def test_moves_are_in_8_bits_themselves() -> None:
    """What only moves values neither rounds them again nor leaves the 8 bits."""
    model = stage_model()
    prepare_cpu(model)
    plan = plan_cpu(model)
    assert plan.moves == {"c1_wide": "images", "p1": "r1"}
    assert "p1" not in plan.tensors
    bounds = {"images": (-4.0, 4.0), "r1": (0.0, 3.0), "r2": (0.0, 2.0), "c3": (-2.0, 2.0)}
    roundings = {
        name: unsigned_asymmetric(bounds.get(name, (0.0, 5.0)), np.dtype(np.float32))
        for name in plan.tensors
    }
    insert_qdq(model, plan, roundings, np.dtype(np.float32))
    onnx.checker.check_model(model, full_check=True)
    readers = {node.op_type: node.input[0] for node in model.graph.node}
    assert readers["Pad"] == "images_quantized"
    assert readers["MaxPool"] == "r1_quantized"
    for name in ("p1", "r1"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    got = run(model, images=IMAGES)
    step = roundings["r1"].scale
    steps = np.clip(np.rint(got["r1"] / step), 0, 255)
    largest = steps.reshape(7, 8, 4, 2, 4, 2).max((3, 5))
    np.testing.assert_allclose(got["p1"], largest * step, rtol=1e-6)


@pytest.mark.parametrize(
    "bounds", [(0.0, 3.0), (-1.0, 3.0), (-2.5, -1.0), (1.0, 2.0), (-1e-3, 80.0), (0.0, 0.0)]
)
def test_unsigned_rounding_has_0_and_both_bounds(bounds: tuple[float, float]) -> None:
    rounding = unsigned_asymmetric(bounds, np.dtype(np.float32))
    scale, zero = float(rounding.scale), int(rounding.zero_point)
    assert rounding.zero_point.dtype == np.uint8
    assert scale > 0
    values = np.linspace(min(bounds[0], 0), max(bounds[1], 0), 1001)
    steps = np.clip(np.rint(values / scale) + zero, 0, 255)
    assert np.abs((steps - zero) * scale - values).max() <= scale * 1.01
    assert (zero == 0) == (bounds[0] > -scale / 2), "what a ReLU cuts off, the rounding does"


def test_a_bias_of_dead_weights_is_kept() -> None:
    """Steps of its products are tiny, and the bias is billions of them: more than 32 bits."""
    model = stage_model()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    values = numpy_helper.to_array(constants["w1"]).copy()
    values[2] = 0
    values[5] *= 1e-7
    constants["w1"].CopyFrom(numpy_helper.from_array(values, "w1"))
    constants["b1"].CopyFrom(numpy_helper.from_array(np.full(8, 30, np.float32), "b1"))
    plan = plan_cpu(model)
    roundings = {
        name: unsigned_asymmetric((-0.01, 50.0 if name != "images" else 0.01), np.dtype(np.float32))
        for name in plan.tensors
    }
    insert_qdq(model, plan, roundings, np.dtype(np.float32))
    model.graph.output.append(helper.make_tensor_value_info("r1", TensorProto.FLOAT, None))
    results = run(model, images=np.zeros((1, 3, 8, 8), np.float32))["r1"]
    np.testing.assert_allclose(results, 30, rtol=1e-4)
