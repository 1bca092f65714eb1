"""Makes the batch of a model dynamic, and every size in it a constant or a function of the batch.

Sizes that a file computes (Shape, Gather, Concat, Reshape) would tie parts together that share
nothing else. Two runs with different batches show which of these tensors are constant and which
grow linearly with the batch; they are replaced accordingly. A file exported for one image has its
batch as constants, which are made dynamic; a comparison with the file, image by image, verifies
this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.bundle.manifest import IMAGES
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeexit.errors import ExportError
from edgeexit.export.from_onnx.classifier import PREFIX, OnnxClassifier
from edgeexit.export.from_onnx.running import WatchedModel, random_images
from edgeexit.export.graphs.editing import add_constant, replace_nodes

BATCHES = (2, 3)
MAX_SIZES = 64
"""Most values that a tensor of sizes has; larger tensors are features."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A model with a dynamic batch, whose input is named ``images``.

    Attributes:
        model: nodes are in the order of execution; sizes come from constants or the batch.
        shapes: of the images, and of each tensor that depends on them or on their number, at each
            of :data:`BATCHES`.
        floating: the names of the float32 tensors among the latter.
        path: the tensors that depend on the images' values.
    """

    model: onnx.ModelProto
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    floating: frozenset[str]
    path: frozenset[str]


def trace(classifier: OnnxClassifier) -> Traced:
    """Return the model with a dynamic batch and all sizes derived from it.

    Raises:
        ExportError: the model runs only on its own batch size.
    """
    model = _with_images(classifier)
    if classifier.batch is not None:
        model = _opened(model, classifier)
    path, of_sizes = _dependent(model)
    names = [name for node in model.graph.node for name in node.output if name]
    names = [name for name in names if name in path or name in of_sizes]
    runner = WatchedModel(model, IMAGES, names, exactly=True)
    try:
        seen = [_seen(runner, classifier, batch, of_sizes) for batch in BATCHES]
    except ExportError as error:
        where = f"{classifier.file}: "
        if classifier.batch is None:
            raise ExportError(f"{where}{error}; export it with a dynamic batch") from error
        raise ExportError(
            f"{where}is for {classifier.batch} image, and cannot be made to take more: {error}; "
            "export it with a dynamic batch"
        ) from error
    shapes = {name: (seen[0][name].shape, seen[1][name].shape) for name in names}
    replace_nodes(model.graph, _written(model, seen, shapes, of_sizes))
    del model.graph.value_info[:]
    floating = frozenset(name for name in names if seen[0][name].dtype == np.float32)
    path &= shapes.keys()
    first, second = ((batch, *classifier.input_size) for batch in BATCHES)
    return Traced(model, {IMAGES: (first, second), **shapes}, floating, path)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A tensor as observed in a run; values only for tensors of sizes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    values: NDArray[Any] | None


def _seen(
    runner: WatchedModel, classifier: OnnxClassifier, batch: int, of_sizes: frozenset[str]
) -> dict[str, _Seen]:
    values = runner(random_images(classifier.input_size, batch))
    for name, value in values.items():
        if not isinstance(value, np.ndarray):
            raise ExportError(f"{name} is not a tensor")
    return {
        name: _Seen(
            value.shape,
            value.dtype,
            value if name in of_sizes and value.size <= MAX_SIZES else None,
        )
        for name, value in values.items()
    }


def _with_images(classifier: OnnxClassifier) -> onnx.ModelProto:
    """Return the model with its input named ``images`` and a dynamic batch."""
    model, own = onnx.ModelProto(), PREFIX + classifier.images
    model.CopyFrom(classifier.model)
    graph = model.graph
    for node in graph.node:
        node.input[:] = [IMAGES if name == own else name for name in node.input]
    kept = [value for value in graph.input if value.name != own]  # weights, in old models
    del graph.input[:]
    info = helper.make_tensor_value_info(
        IMAGES, TensorProto.FLOAT, ["batch", *classifier.input_size]
    )
    graph.input.extend([info, *kept])
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    return model


def _dependent(model: onnx.ModelProto) -> tuple[frozenset[str], frozenset[str]]:
    """Return the tensors that depend on the images' values, and on their number alone."""
    path: set[str] = {IMAGES}
    of_sizes: set[str] = set()
    for node in model.graph.node:
        read = set(node.input)
        if node.op_type in ("Shape", "Size"):
            of_sizes.update(node.output if read & (path | of_sizes) else ())
        elif read & path:
            path.update(node.output)
        elif read & of_sizes:
            of_sizes.update(node.output)
    return frozenset(path - {""}), frozenset(of_sizes - {""})


def _opened(model: onnx.ModelProto, classifier: OnnxClassifier) -> onnx.ModelProto:
    """Return a model for one image as a model for any number, with no constant 1 for the batch.

    Reshape gets -1 as its first size; a constant that is joined to each image's features, such as
    a class token, is repeated.
    """
    path, _ = _dependent(model)
    reshaped = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Reshape" and node.output[0] in path
    ]
    shapes: Mapping[str, NDArray[Any]] = {}
    if reshaped:
        runner = WatchedModel(model, IMAGES, reshaped, exactly=True)
        shapes = runner(random_images(classifier.input_size, 1))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.output[0] in shapes:
            sizes = [-1, *shapes[node.output[0]].shape[1:]]
            node.input[1] = add_constant(model.graph, f"{node.output[0]}/open", np.array(sizes))
        elif node.op_type == "Concat" and node.output[0] in path:
            for position, name in enumerate(node.input):
                dims = list(constants[name].dims) if name in constants else []
                if len(dims) > 1 and dims[0] == 1:
                    repeated = f"{node.output[0]}/repeated{position}"
                    at_none = np.array([0, *dims[1:]])
                    each = np.eye(1, len(dims), dtype=np.int64)[0]
                    nodes += _growing(f"{repeated}/sizes", "/", at_none, each)
                    nodes.append(
                        helper.make_node("Expand", [name, f"{repeated}/sizes"], [repeated])
                    )
                    node.input[position] = repeated
        nodes.append(node)
    replace_nodes(model.graph, nodes)
    return model


def _written(
    model: onnx.ModelProto,
    seen: Sequence[dict[str, _Seen]],
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
    of_sizes: frozenset[str],
) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a model, with sizes replaced by constants or functions of the batch."""
    for node in [*model.graph.node]:
        outputs = [name for name in node.output if name]
        if outputs and set(outputs) <= of_sizes:
            written = [_size_nodes(name, seen[0][name], seen[1][name]) for name in outputs]
            if all(nodes is not None for nodes in written):
                for nodes in written:
                    yield from nodes or ()
                continue
        if node.op_type == "Reshape":
            sizes = _open_sizes(*shapes.get(node.output[0], ((), ())))
            if sizes is not None:
                node.input[1] = add_constant(
                    model.graph, f"{node.output[0]}/sizes", np.array(sizes)
                )
                kept = [item for item in node.attribute if item.name != "allowzero"]
                del node.attribute[:]
                node.attribute.extend(kept)
        yield node


def _open_sizes(first: tuple[int, ...], second: tuple[int, ...]) -> list[int] | None:
    """Return a shape with -1 for the size that follows the batch; None unless exactly one does."""
    if len(first) != len(second) or 0 in first:
        return None
    follows = [number for number, size in enumerate(first) if size != second[number]]
    if len(follows) != 1:
        return None
    return [-1 if number in follows else size for number, size in enumerate(first)]


def _size_nodes(name: str, first: _Seen, second: _Seen) -> list[onnx.NodeProto] | None:
    """Return nodes that compute a tensor of sizes from the batch; None if that is not possible."""
    a, b = first.values, second.values
    if a is None or b is None or a.shape != b.shape:
        return None
    if np.array_equal(a, b):
        return [helper.make_node("Constant", [], [name], value=numpy_helper.from_array(a))]
    if a.dtype != np.int64:
        return None
    each = (b - a) // (BATCHES[1] - BATCHES[0])
    return _growing(name, "#", a - BATCHES[0] * each, each)


def _growing(
    name: str, mark: str, at_none: NDArray[np.int64], each: NDArray[np.int64]
) -> list[onnx.NodeProto]:
    """Return nodes that compute ``at_none + N * each`` for N images.

    Names of intermediate tensors begin with ``name`` and ``mark``.
    """
    batch, grown = f"{name}{mark}batch", f"{name}{mark}grown"
    nodes = [helper.make_node("Shape", [IMAGES], [batch], start=0, end=1)]
    constants = []
    for what, value in (("each", each), ("none", at_none)):
        tensor = numpy_helper.from_array(np.asarray(value, np.int64))
        constants.append(f"{name}{mark}{what}")
        nodes.append(helper.make_node("Constant", [], constants[-1:], value=tensor))
    if np.ndim(each) == 0:
        nodes.append(helper.make_node("Squeeze", [batch], [f"{batch}{mark}one"]))
        batch = f"{batch}{mark}one"
    return [
        *nodes,
        helper.make_node("Mul", [batch, constants[0]], [grown]),
        helper.make_node("Add", [grown, constants[1]], [name]),
    ]
