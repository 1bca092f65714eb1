"""Convert convolutions without an INT8 kernel in TensorRT back to floating point.

Without a kernel TensorRT builds no engine, and logs the layer that has no implementation. Up to 8.6
that happened with depthwise convolutions (NVIDIA/TensorRT#3385, #4060).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.engines.layers import writers

# not if the workspace is too small: then it must be larger
NO_KERNEL = re.compile(
    r"could not find any implementation for node ((?!.*insufficient workspace).+)", re.IGNORECASE
)


class FloatingConvolutions:
    """A network's convolutions in floating point; keep until the build ends: it owns their weights.

    Attributes:
        names: names of the layers.

    Args:
        module: the library's module.
        network: the parsed, strongly typed network.
    """

    def __init__(self, module: Any, network: Any) -> None:
        self.names: list[str] = []
        self._module = module
        self._network = network
        self._weights: list[NDArray[Any]] = []

    def put_back(self, errors: Iterable[str]) -> bool:
        """Convert the convolutions that a build found no kernel for; other layers are unchanged.

        Args:
            errors: the errors that TensorRT logged in that build, a line each.

        Returns:
            whether there was any, so that another build may succeed.
        """
        nodes = " ".join(found[1] for text in errors if (found := NO_KERNEL.search(text)))
        before = len(self.names)
        for convolution in _quantized(self._network) if nodes else ():
            name = convolution.layer.name
            if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", nodes):
                self._put_back(convolution)
                self.names.append(name)
        return len(self.names) > before

    def _put_back(self, convolution: _Convolution) -> None:
        stored, scales = self._value(convolution.stored), self._value(convolution.scales)
        shape = tuple(convolution.stored.get_output(0).shape)
        # one scale per output channel, in the type that the layer will compute in
        weights = stored.reshape(shape) * scales.reshape(-1, *[1] * (len(shape) - 1))
        self._weights.append(weights)
        constant = self._network.add_constant(shape, weights)
        convolution.layer.set_input(0, convolution.features)
        convolution.layer.set_input(1, constant.get_output(0))

    def _value(self, constant: Any) -> NDArray[Any]:
        constant.__class__ = self._module.IConstantLayer  # bindings return every layer as ILayer
        return np.asarray(constant.weights)


@dataclass(frozen=True, slots=True)
class _Convolution:
    """An INT8 convolution: its features before rounding, its weights and their scales."""

    layer: Any
    features: Any
    stored: Any
    scales: Any


def _quantized(network: Any) -> Iterator[_Convolution]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    writer = writers(layers)

    def before(layer: Any, index: int, kind: str) -> Any:
        """Return the layer that writes an input, if it is of this kind."""
        tensor = layer.get_input(index) if layer is not None else None
        found = writer.get(tensor.name) if tensor is not None else None
        return found if found is not None and found.type.name == kind else None

    for layer in layers:
        if layer.type.name != "CONVOLUTION":
            continue
        rounded = before(before(layer, 0, "DEQUANTIZE"), 0, "QUANTIZE")
        weights = before(layer, 1, "DEQUANTIZE")
        stored, scales = before(weights, 0, "CONSTANT"), before(weights, 1, "CONSTANT")
        if None not in (rounded, stored, scales):
            yield _Convolution(layer, rounded.get_input(0), stored, scales)
