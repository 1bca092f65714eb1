"""The parts of a bundle -> one ONNX graph, in which everything behind an exit is in an If branch.

An If computes only one of its branches, so images that leave early do not pay for the rest. A batch
continues until its hardest image leaves; each image gets the answer of the exit where it would
leave alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import (
    GATE_OUTPUTS,
    IMAGES,
    THRESHOLD,
    GraphEntry,
    Manifest,
)
from edgeexit_runtime.gate import NEVER
from onnx import TensorProto, helper, numpy_helper

from edgeexit.errors import BundleError
from edgeexit.export.from_onnx.file import MAX_BYTES
from edgeexit.export.graphs.parts import first_line

THRESHOLDS = "thresholds"
OUTPUTS = ("labels", "confidences", "exits", "logits")
"""int32 (N,), float32 (N,), int32 (N,) that indexes the bundle's exits, float32 (N, K)."""

_CLASSES = "classes/axis"  # of (N, K)


@dataclass(frozen=True, slots=True)
class _Exit:
    """An exit that is on: its index in the bundle, and the graph of all parts up to it."""

    number: int
    name: str
    graph: onnx.GraphProto


def exits_that_are_on(manifest: Manifest) -> tuple[str, ...]:
    """Return the exits before the last that are not switched off, in order: one threshold each."""
    return tuple(name for name, value in manifest.thresholds.items() if value != NEVER)


def nested_model(bundle: Bundle, *, required_thresholds: bool = False) -> onnx.ModelProto:
    """Return a bundle as one model.

    Its inputs are ``images`` float32 (N, C, H, W), N >= 1, and ``thresholds`` float32, one for each
    exit of :func:`exits_that_are_on`; without any, that input is omitted. Its outputs are
    :data:`OUTPUTS`. The branches of exits that are switched off are omitted.

    Args:
        bundle: the bundle, whose files are read and checked.
        required_thresholds: whether every call has to give thresholds; otherwise they default to
            the bundle's.

    Raises:
        BundleError: a file is missing, changed, or does not fit the others, or all together are
            too large for one file.
    """
    manifest = bundle.manifest
    total = sum(entry.size_bytes for _, entry in manifest.graphs())
    if total > MAX_BYTES:
        raise BundleError(
            f"{bundle.folder}: its parts are {total:,} bytes, one ONNX file holds {MAX_BYTES:,}; "
            "use the bundle as it is, or export it in a lower precision"
        )
    models = {name: _read(bundle, name, entry) for name, entry in manifest.graphs()}
    names = exits_that_are_on(manifest)
    num_classes = manifest.model.num_classes
    graph = _nested(_exits(manifest, names, models), num_classes, "", OUTPUTS)
    graph.name = "early_exit"
    graph.input.append(
        helper.make_tensor_value_info(
            IMAGES, TensorProto.FLOAT, ["batch", *manifest.preprocessing.input_size]
        )
    )
    graph.output.extend(_described(OUTPUTS, num_classes))
    graph.initializer.append(helper.make_tensor(_CLASSES, TensorProto.INT64, [1], [1]))
    if names:
        _add_thresholds(graph, names)
    if names and not required_thresholds:
        values = np.array([manifest.thresholds[name] for name in names], np.float32)
        graph.initializer.append(numpy_helper.from_array(values, THRESHOLDS))
    model = helper.make_model(
        graph,
        opset_imports=_opsets(bundle, models),
        ir_version=max(model.ir_version for model in models.values()),
        producer_name="edgeexit",
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx has no common base for these
        raise BundleError(
            f"{bundle.folder}: its parts do not fit together: {first_line(error)}; export it again"
        ) from error
    return model


def _read(bundle: Bundle, name: str, entry: GraphEntry) -> onnx.ModelProto:
    """Return a part as a model."""
    content = bundle.read(entry)
    try:
        model = onnx.load_from_string(content)
        if model.functions or not model.graph.node:
            raise ValueError("expected nodes, and no functions")
    except Exception as error:  # also protobuf's
        raise BundleError(
            f"{bundle.folder / entry.file}: {name} is not a readable ONNX model; export it again"
        ) from error
    return model


def _opsets(bundle: Bundle, models: Mapping[str, onnx.ModelProto]) -> list[onnx.OperatorSetIdProto]:
    """Return the operator sets of all parts, which must agree."""
    versions: dict[str, int] = {}
    for name, model in models.items():
        for entry in model.opset_import:
            if versions.setdefault(entry.domain, entry.version) != entry.version:
                raise BundleError(
                    f"{bundle.folder}: {name} has opset {entry.version} of {entry.domain or 'ONNX'}"
                    f", parts before it {versions[entry.domain]}; export it again"
                )
    return [helper.make_operatorsetid(domain, version) for domain, version in versions.items()]


def _exits(
    manifest: Manifest, names: Sequence[str], models: Mapping[str, onnx.ModelProto]
) -> list[_Exit]:
    """Return the exits that are on; the stage of an exit that is off belongs to the next."""
    stages = {stage.name: stage.graph for stage in manifest.stages}
    exits, graph = [], onnx.GraphProto()
    for number, exit_ in enumerate(manifest.exits):
        if exit_.stage is not None:
            _take_over(graph, models[exit_.stage].graph, exit_.stage, stages[exit_.stage])
        if exit_.name in names or exit_ is manifest.exits[-1]:
            _take_over(graph, models[exit_.name].graph, exit_.name, exit_.graph)
            exits.append(_Exit(number, exit_.name, graph))
            graph = onnx.GraphProto()
    return exits


def _nested(
    exits: Sequence[_Exit], num_classes: int, left: str, results: Sequence[str]
) -> onnx.GraphProto:
    """Return the graph of the first of these exits, with an If of the others for those who stay.

    Args:
        exits: the exits that remain, in order; their graphs are edited.
        num_classes: K.
        left: the tensor, bool (N,), of images that have left before; "" before the first exit.
        results: names for the tensors of the answers to all N images, as :data:`OUTPUTS`.
    """
    exit_, later = exits[0], exits[1:]
    name, graph = exit_.name, exit_.graph
    if not later:
        zero = helper.make_tensor(f"{name}/{THRESHOLD}", TensorProto.FLOAT, [1], [0.0])
        graph.initializer.append(zero)
        graph.node.extend(_answers_here(exit_, results))
        return graph
    leaves, everyone = f"{name}/exits", f"{name}/everyone"
    if left:
        graph.node.append(helper.make_node("Or", [left, leaves], [f"{name}/left"]))
        left = f"{name}/left"
    else:
        left = leaves
    graph.node.extend(
        [
            helper.make_node("Cast", [left], [f"{name}/flags"], to=TensorProto.INT32),
            helper.make_node("ReduceMin", [f"{name}/flags"], [f"{name}/least"], keepdims=0),
            helper.make_node("Cast", [f"{name}/least"], [everyone], to=TensorProto.BOOL),
        ]
    )
    answers, beyond, chosen = (
        [f"{name}/{where}/{output}" for output in OUTPUTS]
        for where in ("here", "beyond", "further")
    )
    here = onnx.GraphProto(name=f"{name}/here")
    here.node.extend(_answers_here(exit_, answers))
    here.output.extend(_described(answers, num_classes))
    further = _nested(later, num_classes, left, beyond)
    further.name = f"{name}/further"
    further.node.extend(_chosen(exit_, beyond, chosen))
    number = helper.make_tensor(f"{name}/number", TensorProto.INT32, [1], [exit_.number])
    further.initializer.append(number)
    further.output.extend(_described(chosen, num_classes))
    graph.node.append(
        helper.make_node(
            "If", [everyone], list(results), name, then_branch=here, else_branch=further
        )
    )
    return graph


def _answers_here(exit_: _Exit, results: Sequence[str]) -> list[onnx.NodeProto]:
    """Return nodes that give every image an exit's answer."""
    logits, confidence, label, _ = (f"{exit_.name}/{output}" for output in GATE_OUTPUTS)
    labels, confidences, exits, all_logits = results
    number = helper.make_tensor("value", TensorProto.INT32, [1], [exit_.number])
    return [
        helper.make_node("Identity", [label], [labels]),
        helper.make_node("Identity", [confidence], [confidences]),
        helper.make_node("Shape", [label], [f"{exits}/shape"]),
        helper.make_node("ConstantOfShape", [f"{exits}/shape"], [exits], value=number),
        helper.make_node("Identity", [logits], [all_logits]),
    ]


def _chosen(exit_: _Exit, beyond: Sequence[str], results: Sequence[str]) -> list[onnx.NodeProto]:
    """Return nodes that choose an exit's answers for images that leave there, else ``beyond``."""
    name = exit_.name
    logits, confidence, label, leaves = (f"{name}/{output}" for output in GATE_OUTPUTS)
    column = f"{name}/column"
    mine = ((leaves, label), (leaves, confidence), (leaves, f"{name}/number"), (column, logits))
    return [
        helper.make_node("Unsqueeze", [leaves, _CLASSES], [column]),
        *(
            helper.make_node("Where", [*chosen, other], [result])
            for chosen, other, result in zip(mine, beyond, results, strict=True)
        ),
    ]


def _described(names: Sequence[str], num_classes: int) -> list[onnx.ValueInfoProto]:
    """Return the value infos of tensors with the types and shapes of :data:`OUTPUTS`."""
    types = (TensorProto.INT32, TensorProto.FLOAT, TensorProto.INT32, TensorProto.FLOAT)
    inner = ((), (), (), (num_classes,))
    return [
        helper.make_tensor_value_info(name, kind, ["batch", *shape])
        for name, kind, shape in zip(names, types, inner, strict=True)
    ]


def _add_thresholds(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    """Add the input of thresholds, and its Split into one threshold, float32 (1,), per exit."""
    count = len(names)
    graph.input.append(helper.make_tensor_value_info(THRESHOLDS, TensorProto.FLOAT, [count]))
    each = [f"{name}/{THRESHOLD}" for name in names]
    sizes = helper.make_tensor(f"{THRESHOLDS}/sizes", TensorProto.INT64, [count], [1] * count)
    graph.initializer.append(sizes)
    graph.node.insert(0, helper.make_node("Split", [THRESHOLDS, sizes.name], each, axis=0))


def _take_over(graph: onnx.GraphProto, part: onnx.GraphProto, name: str, entry: GraphEntry) -> None:
    """Take over the nodes and weights of a part, with the part's name as a prefix of their names.

    Features between parts get one name in all parts. Images keep their name.
    """
    shared = {tensor.name for tensor in entry.inputs}
    if entry.outputs[0].name not in GATE_OUTPUTS:
        shared |= {tensor.name for tensor in entry.outputs}
    names = {tensor: f"features/{tensor}" for tensor in shared} | {IMAGES: IMAGES, "": ""}
    _rename(part, name, lambda tensor: names.get(tensor, f"{name}/{tensor}"))
    graph.node.extend(part.node)
    graph.initializer.extend(part.initializer)


def _rename(graph: onnx.GraphProto, part: str, named: Callable[[str], str]) -> None:
    """Rename all nodes and tensors of a graph and of its subgraphs."""
    for node in graph.node:
        node.name = f"{part}/{node.name or node.output[0]}"
        node.input[:] = map(named, node.input)
        node.output[:] = map(named, node.output)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, part, named)
    for value in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        value.name = named(value.name)
