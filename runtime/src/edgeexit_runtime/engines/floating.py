"""Convolutions that TensorRT has no INT8 kernel for, put back into floating point.

TensorRT then builds no engine, and says of which layer it found no implementation. Up to 8.6 that
happened to depthwise ones (NVIDIA/TensorRT#3385, #4060).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.engines.layers import writers

# where it is the workspace that is too small, more of it is the answer
NO_KERNEL = re.compile(
    r"could not find any implementation for node ((?!.*insufficient workspace).+)", re.IGNORECASE
)


class FloatingConvolutions:
    """Those of one network; to be kept until it is built, as TensorRT reads their weights here.

    Attributes:
        names: of the layers.

    Args:
        module: the library's.
        network: parsed and strongly typed.
    """

    def __init__(self, module: Any, network: Any) -> None:
        self.names: list[str] = []
        self._module = module
        self._network = network
        self._weights: list[NDArray[Any]] = []

    def put_back(self, errors: Iterable[str]) -> bool:
        """Put back what a build has found no kernel for; the other layers stay as they are.

        Args:
            errors: what TensorRT has logged of that build, a line each.

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
        # one scale per output channel, in the type that the layer computes in from now on
        weights = stored.reshape(shape) * scales.reshape(-1, *[1] * (len(shape) - 1))
        self._weights.append(weights)
        constant = self._network.add_constant(shape, weights)
        convolution.layer.set_input(0, convolution.features)
        convolution.layer.set_input(1, constant.get_output(0))

    def _value(self, constant: Any) -> NDArray[Any]:
        constant.__class__ = self._module.IConstantLayer  # bindings give every layer as ILayer
        return np.asarray(constant.weights)


@dataclass(frozen=True, slots=True)
class _Convolution:
    """One in 8 bits: its features before they are rounded, its weights and their scales."""

    layer: Any
    features: Any
    stored: Any
    scales: Any


def _quantized(network: Any) -> Iterator[_Convolution]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    writer = writers(layers)

    def before(layer: Any, index: int, kind: str) -> Any:
        """Return the layer that writes an input, where it is one of this kind."""
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
