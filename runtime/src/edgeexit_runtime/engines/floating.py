"""Convert convolutions without an INT8 kernel in TensorRT back to floating point.

Without a kernel TensorRT builds no engine, and logs the layer that has no implementation. Up to 8.6
that happened with depthwise convolutions (NVIDIA/TensorRT#3385, #4060).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
        for layer, features, stored, scales in _quantized(self._network) if nodes else ():
            if re.search(rf"(?<!\w){re.escape(layer.name)}(?!\w)", nodes):
                layer.set_input(0, features)
                layer.set_input(1, self._floating_weights(stored, scales))
                self.names.append(layer.name)
        return len(self.names) > before

    def _floating_weights(self, stored: Any, scales: Any) -> Any:
        shape = tuple(stored.get_output(0).shape)
        # one scale per output channel, in the type that the layer will compute in
        steps = self._value(scales).reshape(-1, *[1] * (len(shape) - 1))
        weights = self._value(stored).reshape(shape) * steps
        self._weights.append(weights)
        return self._network.add_constant(shape, weights).get_output(0)

    def _value(self, constant: Any) -> NDArray[Any]:
        constant.__class__ = self._module.IConstantLayer  # bindings return every layer as ILayer
        return np.asarray(constant.weights)


def _quantized(network: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Yield INT8 convolutions: layer, features before rounding, stored weights, their scales."""
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
            yield layer, rounded.get_input(0), stored, scales
