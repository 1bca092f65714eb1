"""The precisions that the layers of a network and of its engine compute in.

A strongly typed network has them before the build, for the layers of the ONNX file. The engine
inspector reports them after the build, for the layers that TensorRT fused them into.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.tensorrt.versions import TensorRt
from edgeexit_runtime.errors import BackendError

# layers of the network, by names of trt.LayerType
WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
MOVING = (
    *("CAST", "CONSTANT", "DEQUANTIZE", "GATHER", "IDENTITY", "QUANTIZE", "SHAPE", "SHUFFLE"),
    *("SLICE", "SQUEEZE", "UNSQUEEZE"),
)
# layers of the engine, by the inspector's LayerType in lower case
OPAQUE = "myelin"
MOVING_IN_ENGINE = (
    "constant",
    "identity",
    "noop",
    "reformat",
    "shape",
    "shuffle",
    "signal",
    "wait",
)

# names of trt.DataType -> the manifest's; integers do not count as a precision
PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}
FINEST_LAST = ("int8", "fp8", "fp16", "bf16", "fp32")


@dataclass(frozen=True, slots=True)
class NetworkLayers:
    """Number of layers of a strongly typed network that compute in each precision.

    ``weighted`` counts only layers that multiply by weights, which a bundle's precision is chosen
    for; softmax and gate are FP32 in all bundles.
    """

    layers: dict[str, int]
    weighted: dict[str, int]

    @property
    def promised(self) -> str | None:
        """The coarsest precision of the layers with weights; of all layers if none has weights."""
        layers = self.weighted or self.layers
        return next((name for name in FINEST_LAST if name in layers), None)


@dataclass(frozen=True, slots=True)
class EngineLayers:
    """Number of layers of a built engine that compute in each precision.

    ``opaque`` is set if some are fused into a layer whose contents the inspector does not show.
    """

    layers: dict[str, int]
    opaque: bool


def network_layers(network: Any) -> NetworkLayers:
    """Count the layers of a parsed network by the precision that they compute in."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    writer = writers(layers)
    counts: Counter[str] = Counter()
    weighted: Counter[str] = Counter()
    for layer in layers:
        kind = layer.type.name
        if kind in MOVING:
            continue
        precision = _network_precision(layer, writer)
        if precision is None:
            continue
        counts[precision] += 1
        weighted[precision] += kind in WEIGHTED
    return NetworkLayers(dict(counts), dict(+weighted))


def writers(layers: Iterable[Any]) -> dict[str, Any]:
    """Return the layer of a network that writes a tensor, by the tensor's name."""
    return {
        layer.get_output(index).name: layer
        for layer in layers
        for index in range(layer.num_outputs)
    }


def engine_layers(trt: TensorRt, information: str) -> EngineLayers:
    """Count an engine's layers by the precision that they compute in.

    Args:
        trt: the library.
        information: JSON from the engine inspector's ``get_engine_information``.
    """
    try:
        layers = json.loads(information)["Layers"]
    except (ValueError, KeyError, TypeError):
        layers = []
    counts: Counter[str] = Counter()
    opaque = False
    for layer in layers:
        if not isinstance(layer, dict):  # a name only: the library reports no details
            continue
        kind = str(layer.get("LayerType", "")).lower()
        precision = None if kind in MOVING_IN_ENGINE else _engine_precision(trt, layer)
        if precision is not None:
            counts[precision] += 1
        opaque = opaque or kind == OPAQUE
    return EngineLayers(dict(counts), opaque)


def require_precision(
    title: str, name: str, asked: str, network: NetworkLayers, engine: EngineLayers | None
) -> None:
    """Check that an engine computes in the precision of its bundle.

    Args:
        title: the library and its version.
        name: the graph's name.
        asked: the bundle's precision. In an INT8 bundle, a graph may have nothing quantized.
        network: the layers before the build.
        engine: the engine's layers; None if they are not known.

    Raises:
        BackendError: it is FP32 instead of FP16, or FP16 instead of INT8.
    """
    if network.promised is None:  # it only moves data
        return
    if asked == "fp16" and network.promised != "fp16":
        raise BackendError(
            f"{name}: the bundle is {asked}, but its ONNX file computes in {network.promised}; "
            "export the bundle again"
        )
    if engine is not None and network.promised not in engine.layers:
        raise BackendError(
            f"{name}: expected {network.promised} layers as in its ONNX file, but {title} built "
            f"it of {', '.join(shares(engine.layers))} alone; this GPU may lack "
            f"{network.promised}, export in another precision"
        )


def _network_precision(layer: Any, writer: dict[str, Any]) -> str | None:
    """Return a layer's precision: of quantized inputs if there are any, else of its outputs."""
    inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
    if layer.type.name in WEIGHTED and len(inputs) > 1:
        stored = [_quantized_as(tensor, writer) for tensor in inputs[:2]]  # features and weights
        if None not in stored:
            return stored[0]
    dtypes = [layer.get_output(index).dtype.name for index in range(layer.num_outputs)]
    return next((PRECISIONS[dtype] for dtype in dtypes if dtype in PRECISIONS), None)


def _quantized_as(tensor: Any, writer: dict[str, Any]) -> str | None:
    """Return the precision that a tensor was dequantized from, None if it was not."""
    layer = writer.get(tensor.name)
    while layer is not None and layer.type.name in ("SHUFFLE", "IDENTITY"):  # a transposed weight
        layer = writer.get(layer.get_input(0).name)
    if layer is None or layer.type.name != "DEQUANTIZE":
        return None
    return PRECISIONS.get(layer.get_input(0).dtype.name)


def _engine_precision(trt: TensorRt, layer: dict[str, Any]) -> str | None:
    """Return a fused layer's precision: the coarsest of its inputs, or else of its outputs."""
    weights = layer.get("Weights")
    reads = [*(layer.get("Inputs") or ())]
    if isinstance(weights, dict):
        reads.append({"DataType": weights.get("Type", "")})
    for tensors in (reads, layer.get("Outputs") or ()):
        listed = [tensor for tensor in tensors if isinstance(tensor, dict)]
        found = {trt.tensor_precision(tensor) for tensor in listed}
        for name in FINEST_LAST:
            if name in found:
                return name
    return None


def shares(counts: dict[str, int]) -> dict[str, float]:
    """Return the share of layers per precision, of their numbers."""
    total = sum(counts.values())
    return {name: counts[name] / total for name in FINEST_LAST if counts.get(name)}
