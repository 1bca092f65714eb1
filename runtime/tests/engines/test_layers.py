"""Precision is proven: what counts as a layer in FP16 or INT8, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.engines.building import build_engines
from edgeexit_runtime.engines.layers import network_layers, shares
from support.messages import refused

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]


@pytest.fixture
def ask(edit_manifest: Edit) -> Callable[[Path, str], None]:
    """``ask(bundle, "fp16")`` writes another precision into the manifest."""

    def write(folder: Path, precision: str) -> None:
        edit_manifest(folder, lambda manifest: manifest.update(precision=precision))

    return write


def quantized(layer: Any) -> list[Any]:
    """A convolution whose features and weights, through a transposition, come from INT8."""
    kind = layer("DEQUANTIZE", "INT8", "q", "x")
    kind.writes[0].dtype = type(kind.writes[0].dtype)["HALF"]
    weights = layer("DEQUANTIZE", "INT8", "qw", "w0")
    weights.writes[0].dtype = kind.writes[0].dtype
    return [
        layer("QUANTIZE", "HALF", "in", "q"),
        kind,
        weights,
        layer("SHUFFLE", "HALF", "w0", "w"),
        layer("CONVOLUTION", "HALF", "x w", "y"),
        layer("ACTIVATION", "HALF", "y", "z"),
    ]


def test_layers_that_only_move_data_are_left_out(doubles: Any) -> None:
    layers = network_layers(
        doubles.network_of(
            doubles.layer("CONSTANT", "FLOAT"),
            doubles.layer("CONVOLUTION", "HALF"),
            doubles.layer("ACTIVATION", "HALF"),
            doubles.layer("CAST", "FLOAT"),
            doubles.layer("SOFTMAX", "FLOAT"),
            doubles.layer("TOPK", "INT64"),
        )
    )
    assert layers.layers == {"fp16": 2, "fp32": 1}
    assert layers.weighted == {"fp16": 1}
    assert layers.promised == "fp16"
    assert shares(layers.layers) == {"fp16": 2 / 3, "fp32": 1 / 3}


def test_int8_layers_read_quantized_features_and_weights(doubles: Any) -> None:
    layers = network_layers(doubles.network_of(*quantized(doubles.layer)))
    assert layers.layers == {"int8": 1, "fp16": 1}
    assert layers.promised == "int8"


def test_quantized_weights_alone_are_not_int8(doubles: Any) -> None:
    network = doubles.network_of(*quantized(doubles.layer)[2:])
    assert network_layers(network).layers == {"fp16": 2}


def test_a_graph_that_only_moves_data_promises_nothing(doubles: Any) -> None:
    assert network_layers(doubles.network_of(doubles.layer("SHUFFLE", "HALF"))).promised is None


@pytest.mark.parametrize("key", ["Format/Datatype", "Format/DataType", "DataType"])
@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("Half", "fp16"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Float", "fp32"),
        ("Row major linear FP32 format (kLINEAR)", "fp32"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("BFloat16", "bf16"),
    ],
)
def test_the_inspectors_words_of_all_versions(
    key: str, words: str, precision: str, bundle: Path, doubles: Any
) -> None:
    told = doubles.information(("CaskConvolution", words), ("Reduce", "Int32"), key=key)
    kinds = {"fp32": "FLOAT", "fp16": "HALF", "int8": "INT8", "bf16": "FLOAT"}
    layers = [doubles.layer("ACTIVATION", kinds[precision])]
    if precision == "bf16":
        told = told.replace("Int32", "Float")
    doubles.install(layers=layers, information=told)
    entry = build_engines(bundle).engines[0].entry
    expected = {precision: 1.0} if precision != "bf16" else {"bf16": 0.5, "fp32": 0.5}
    assert entry.layers == expected
    assert entry.layers_from == "inspector"


def test_the_engines_own_layers_count(bundle: Path, doubles: Any, ask: Any) -> None:
    ask(bundle, "fp16")
    doubles.install(
        layers=[doubles.layer("CONVOLUTION", "HALF")],
        information=doubles.information(
            ("CaskConvolution", "Half"), ("Reformat", "Half"), ("kgen", "Half"), ("NoOp", "Float"),
            ("SoftMaxV2", "Float"),
        ),
    )  # fmt: skip
    entry = build_engines(bundle).engines[0].entry
    assert entry.layers == {"fp16": 0.6667, "fp32": 0.3333}


def test_formats_of_dynamic_shapes_are_asked_of_a_context(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install(
        information=doubles.information(("CaskConvolution", "N/A due to dynamic shapes")),
        information_of_context=doubles.information(("CaskConvolution", "Float")),
    )
    entry = build_engines(bundle).engines[0].entry
    assert ("set_input_shape", "images", (1, 3, 4, 4)) in behaviour.calls
    assert entry.layers_from == "inspector"


@pytest.mark.parametrize("told", ["", "[]", '{"Layers": ["conv1", "conv2"]}'])
def test_inspector_that_does_not_tell(told: str, bundle: Path, doubles: Any) -> None:
    doubles.install(layers=[doubles.layer("CONVOLUTION", "HALF")], information=told)
    entry = build_engines(bundle).engines[0].entry
    assert entry.layers == {"fp16": 1.0}
    assert entry.layers_from == "network", "said of the network, and labelled as such"


def test_engine_for_another_gpu_is_not_loaded(bundle: Path, doubles: Any) -> None:
    behaviour = doubles.install("1.7.1", rtx=True)  # an Orin is here
    entry = build_engines(bundle, compute_capability="12.0").engines[0].entry
    assert entry.layers_from == "network"
    assert not any(call[0] == "deserialize_cuda_engine" for call in behaviour.calls)


def test_opaque_layers_are_no_proof(bundle: Path, doubles: Any, ask: Any) -> None:
    ask(bundle, "int8")
    doubles.install(
        layers=quantized(doubles.layer),
        information=doubles.information(("Myelin", "Half"), ("Reduce", "Half")),
    )
    entry = build_engines(bundle).engines[0].entry
    assert entry.layers == {"int8": 0.5, "fp16": 0.5}
    assert entry.layers_from == "network"


@pytest.mark.parametrize(
    ("precision", "kinds", "facts"),
    [
        ("fp16", ["FLOAT"], ("stage1: the bundle is fp16", "in fp32", "export")),
        ("fp16", ["HALF"], ("stage1: expected fp16 layers", "of fp32 alone", "lack fp16")),
        ("int8", [], ("stage1: expected int8 layers", "of fp32 alone", "lack int8")),
        ("int8", ["FLOAT"], ("the bundle is int8, but no layer", "export")),
    ],
)
def test_another_precision_than_the_bundles_is_refused(
    precision: str,
    kinds: list[str],
    facts: tuple[str, ...],
    bundle: Path,
    doubles: Any,
    ask: Any,
    files: Any,
) -> None:
    ask(bundle, precision)
    layers = [doubles.layer("CONVOLUTION", kind) for kind in kinds] or quantized(doubles.layer)
    doubles.install(layers=layers, information=doubles.information(("CaskConvolution", "Float")))
    before = files(bundle)
    with refused(ee.BackendError, *facts):
        build_engines(bundle)
    assert {name: read for name, read in files(bundle).items() if name != "timing.cache"} == before
