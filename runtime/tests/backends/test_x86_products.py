"""Products of 8 bits on x86 CPUs without VNNI: they saturate, unless ONNX Runtime is told."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime.backends.onnxruntime.x86_products as x86_products
import numpy as np
import onnx
import onnxruntime
import pytest
from edgeexit_runtime.backends.onnxruntime.sessions import SessionOpener
from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from onnx import TensorProto
from support.hardware import place_cpu
from support.int8_products import CHANNELS, product_model, sizes

FLAGS = "flags\t\t: fpu sse4_2 avx2 {} fma\n"
ONNXRUNTIME = tuple(map(int, onnxruntime.__version__.split(".")[:2]))


def cpuinfo(folder: Path, text: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FLAGS.format("avx512_vnni"), True),
        (FLAGS.format("avx_vnni"), True),
        (FLAGS.format("avx512_vnni") * 2, True),
        (FLAGS.format("avx512f"), False),
        (FLAGS.format("avx_vnni_int16"), False),  # another instruction
        (FLAGS.format("avx_vnni") + FLAGS.format("avx512f"), False),  # one core of two
        ("model name : some CPU\n", None),
        ("", None),
    ],
)
def test_vnni_is_read_from_the_flags(text: str, expected: bool | None, tmp_path: Path) -> None:
    assert x86_products.has_vnni(cpuinfo(tmp_path, text)) is expected


def test_vnni_is_not_known_where_the_system_does_not_say(tmp_path: Path) -> None:
    assert x86_products.has_vnni(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", True), ("AMD64", True), ("i686", True), ("aarch64", False), ("arm64", False)],
)
def test_x86(machine: str, expected: bool) -> None:
    assert x86_products.is_x86(machine) is expected


@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_7_bits_are_exact_with_the_fastest_kernels(kind: str) -> None:
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(
        product_model(kind, levels=63), options, providers=["CPUExecutionProvider"]
    )
    (out,) = session.run(None, {"x": np.ones((2, *sizes(kind)), np.float32)})
    np.testing.assert_allclose(out, CHANNELS, rtol=1e-6)


@pytest.mark.parametrize("vnni", [True, False, None])
@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_products_are_widened_unless_vnni_is_there(
    kind: str, vnni: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Weights become unsigned then, whose products with unsigned features never saturate."""
    if not x86_products.is_x86():
        pytest.skip("products of 8 bits are exact here")
    if ONNXRUNTIME < (1, 26) and x86_products.has_vnni():
        pytest.skip("this onnxruntime widens where products saturate alone, whatever it is asked")
    place_cpu(monkeypatch, vnni=vnni)
    types = {True: {TensorProto.INT8}}.get(vnni is True, {TensorProto.UINT8})
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    x86_products.require_exact_products(options)
    content = product_model(kind)
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    fused = onnx.load(tmp_path / "optimized.onnx").graph
    matrices = {tensor.data_type for tensor in fused.initializer if len(tensor.dims) > 1}
    assert [n.op_type for n in fused.node if n.op_type.startswith("Q")].count("QuantizeLinear") == 1
    assert matrices == types


@pytest.mark.parametrize("widened", [True, False])
@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_sessions_give_exact_products(
    kind: str, widened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this CPU as it is, and with the kernels that one without VNNI would take."""
    if widened:
        place_cpu(monkeypatch, vnni=False)
    content, shape = product_model(kind), sizes(kind)
    inputs, outputs = TensorInfo("x", "float32", shape), TensorInfo("out", "float32", shape)
    entry = GraphEntry("products.onnx", "", len(content), (inputs,), (outputs,))
    opener = SessionOpener(None, ["CPUExecutionProvider"], 1)
    session = opener.open_graph(entry, content, gated=False)
    (out,) = session.run(None, {"x": np.ones((2, *shape), np.float32)})
    np.testing.assert_allclose(out, CHANNELS, rtol=1e-6)
