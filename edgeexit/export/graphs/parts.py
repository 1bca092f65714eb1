"""One ONNX model of a whole network -> one graph per part, simplified and checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import onnx
import onnx.utils
import onnxsim
from edgeexit_runtime.bundle.manifest import GATE_OUTPUTS, IMAGES, UINT8, TensorInfo, gate_tensors

from edgeexit.errors import ExportError
from edgeexit.export.graphs.gate import add_gate
from edgeexit.export.graphs.view import GraphView
from edgeexit.scores import SOFTMAX

BASELINE = "baseline"

Tell = Callable[[str], None]
"""Called with the name of the current step."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX model with a dynamic batch, serialized.

    ``inputs`` does not list the input ``threshold``, float32 (1,), of an exit.
    """

    name: str
    content: bytes
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """A stage and the exit behind it, as the tensors of the whole model that they read and write.

    The exit's logits are the tensor :func:`logits_name`.
    """

    stage: str
    exit: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    exit_inputs: tuple[TensorInfo, ...]


def logits_name(exit_name: str) -> str:
    """Return the name of an exit's logits in the model of the whole network."""
    return f"{exit_name}.logits"


def cut_graphs(
    model: onnx.ModelProto,
    cuts: Sequence[Cut],
    num_classes: int,
    *,
    baseline: bool,
    tell: Tell,
    score: str = SOFTMAX,
) -> Iterator[Graph]:
    """Yield the graph of every stage and exit in order, and of the plain backbone if asked for.

    A stage maps features to features. An exit maps features and ``threshold``, float32 (1,), to
    ``logits`` float32 (N, K), ``confidence`` float32 (N,), ``label`` int32 (N,) and ``exits``
    bool (N,), which is confidence >= threshold. The confidence is the one named ``score``.

    Raises:
        ExportError: ONNX does not accept a part.
    """
    extractor = onnx.utils.Extractor(model)
    for cut in cuts:
        tell(cut.stage)
        part = _extract(extractor, cut.inputs, [info.name for info in cut.outputs])
        yield Graph(cut.stage, _finish(cut.stage, part), cut.inputs, cut.outputs)
        tell(cut.exit)
        yield _exit_graph(extractor, cut.exit, cut.exit_inputs, cut.exit, num_classes, score)
    if baseline:
        tell(BASELINE)
        yield _exit_graph(extractor, BASELINE, cuts[0].inputs, cuts[-1].exit, num_classes, score)


def rewritten(
    graph: Graph, model: onnx.ModelProto, dtype: str, in_8_bits: Collection[str] = ()
) -> Graph:
    """Return a graph with a rewritten model, checked, and the new types of its inputs and outputs.

    Args:
        graph: the graph before.
        model: its model, rewritten.
        dtype: the type of features.
        in_8_bits: the features that are uint8 instead.

    Raises:
        ExportError: ONNX does not accept the model.
    """
    del model.graph.value_info[:]
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx has no common error
        raise ExportError(
            f"{graph.name}: ONNX does not accept the rewritten graph: {first_line(error)}"
        ) from error
    untouched = {IMAGES, *GATE_OUTPUTS}

    def typed(infos: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
        return tuple(
            info
            if info.name in untouched
            else replace(info, dtype=UINT8 if info.name in in_8_bits else dtype)
            for info in infos
        )

    content: bytes = model.SerializeToString(deterministic=True)
    return Graph(graph.name, content, typed(graph.inputs), typed(graph.outputs))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's root cause, or its type where it has no message."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _exit_graph(
    extractor: onnx.utils.Extractor,
    name: str,
    inputs: tuple[TensorInfo, ...],
    exit_name: str,
    num_classes: int,
    score: str,
) -> Graph:
    """Extract the subgraph from the inputs to the logits of an exit, and add its gate."""
    logits = logits_name(exit_name)
    model = _extract(extractor, inputs, [logits])
    add_gate(model, logits, num_classes, score)
    return Graph(name, _finish(name, model), inputs, gate_tensors(num_classes))


def _extract(
    extractor: onnx.utils.Extractor, inputs: Sequence[TensorInfo], outputs: list[str]
) -> onnx.ModelProto:
    """Return the subgraph from ``inputs`` to ``outputs``, with the batch size of the first input.

    In the whole model every batch size is read from the images, even in parts without images.
    """
    names = [info.name for info in inputs]
    model: onnx.ModelProto = extractor.extract_model(names, outputs)
    for node in model.graph.node if IMAGES not in names else ():
        if node.op_type == "Shape" and node.input[0] == IMAGES:
            start, end = (GraphView.attribute(node, bound, 0) for bound in ("start", "end"))
            if (start, end) == (0, 1):  # the batch alone
                node.input[0] = names[0]
    return model


def _finish(name: str, model: onnx.ModelProto) -> bytes:
    """Return an extracted part simplified, checked, and without the exporters' metadata."""
    try:
        simple, valid = onnxsim.simplify(model)
        if not valid:
            raise ExportError(f"{name}: onnxsim's result differs from the original graph")
        _strip_metadata(simple)
        simple.graph.name = name
        onnx.checker.check_model(simple, full_check=True)
    except ExportError:
        raise
    except Exception as error:  # onnxsim and onnx have no common error
        raise ExportError(f"{name}: ONNX does not accept the graph: {first_line(error)}") from error
    content: bytes = simple.SerializeToString(deterministic=True)
    return content


def _strip_metadata(model: onnx.ModelProto) -> None:
    """Remove the exporters' metadata, such as paths of this machine's source files."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
