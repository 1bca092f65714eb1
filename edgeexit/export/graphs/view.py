"""Queries on an ONNX graph: the producer and readers of a tensor, the nodes of an SE gate."""

from __future__ import annotations

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FEATURE_MAP_RANK = 4

GLOBAL_POOLING = ("GlobalAveragePool", "GlobalMaxPool")
REDUCTIONS = ("ReduceMean", "ReduceMax")
SPATIAL_AXES = {2, 3}


class GraphView:
    """A model's graph and initializers, and the producer and readers of each tensor.

    A node is identified by its first output, which is unique; node names need not be.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.nodes = tuple(model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self._outputs = {info.name for info in model.graph.output}
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._shapes = {
            info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
            for info in (*inferred.input, *inferred.value_info, *inferred.output)
        }

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, 0 for an unknown dimension; () if its rank is unknown."""
        return self._shapes.get(name, ())

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the only reader of a tensor; None if it has none or several, or is an output."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self._outputs else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of an initializer; None for other tensors."""
        return numpy_helper.to_array(self.initializers[name]) if name in self.initializers else None

    def variables(self, node: onnx.NodeProto) -> list[str]:
        """Return the inputs of a node that are not initializers."""
        return [name for name in node.input if name and name not in self.initializers]

    def channel_axis(self, node: onnx.NodeProto) -> int | None:
        """Return the output channels' axis of a layer's weight; None if the node is no layer."""
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in self.initializers:
            return None
        if node.op_type == "MatMul":
            return 1 if len(self.initializers[node.input[1]].dims) == 2 else None
        return 0 if node.op_type == "Conv" or self.attribute(node, "transB", 0) else 1

    @staticmethod
    def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
        """Return the value of an attribute, or the default where the node does not set it."""
        for item in node.attribute:
            if item.name == name:
                return helper.get_attribute_value(item)
        return default


def pooled_tensors(view: GraphView) -> frozenset[str]:
    """Return the tensors that are computed from globally pooled features alone."""
    pooled: set[str] = set()
    for node in view.nodes:
        variables = view.variables(node)
        if _pools(node, view) or (variables and pooled.issuperset(variables)):
            pooled.update(node.output)
    return frozenset(pooled)


def excitation_nodes(view: GraphView) -> frozenset[str]:
    """Return the nodes between a global pooling and the product of its result with a feature map.

    These are the gates of squeeze-and-excitation, with any activation.
    """
    pooled = pooled_tensors(view)
    found: set[str] = set()
    for node in view.nodes:
        gates = [name for name in view.variables(node) if name in pooled]
        if node.op_type != "Mul" or len(view.variables(node)) != 2 or len(gates) != 1:
            continue
        while gates:
            producer = view.producers[gates.pop()]
            if producer.output[0] not in found and not _pools(producer, view):
                found.add(producer.output[0])
                gates += [name for name in view.variables(producer) if name in pooled]
    return frozenset(found)


def is_global_mean(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a node is a ReduceMean equivalent to GlobalAveragePool."""
    return (
        node.op_type == "ReduceMean"
        and view.attribute(node, "keepdims", 1) == 1
        and _pools(node, view)
    )


def descendants(view: GraphView, name: str) -> frozenset[str]:
    """Return the nodes that depend on a tensor."""
    reached, nodes = {name}, []
    for node in view.nodes:
        if reached.intersection(node.input):
            reached.update(node.output)
            nodes.append(node.output[0])
    return frozenset(nodes)


def _pools(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a node pools feature maps (N, C, H, W) over all of H and W."""
    if node.op_type in GLOBAL_POOLING:
        return True
    if node.op_type not in REDUCTIONS or len(view.shape(node.input[0])) != FEATURE_MAP_RANK:
        return False
    axes = view.attribute(node, "axes", None)
    if axes is None and len(node.input) > 1:
        axes = view.constant(node.input[1])
    return axes is not None and {int(axis) % 4 for axis in axes} == SPATIAL_AXES
