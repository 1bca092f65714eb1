"""A network -> one ONNX graph per part, simplified and checked.

The network is traced once, with every tensor between its parts as an output, and then cut at
these tensors: tracing takes seconds, whatever the size of the part.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import onnx.utils
import onnxsim
import torch
from edgeexit_runtime.bundle.manifest import GATE_DTYPES, GATE_OUTPUTS, IMAGES, TensorInfo
from onnxscript import ir
from torch import Tensor, nn

from edgeexit.errors import ExportError
from edgeexit.export.graphs.gate import add_gate
from edgeexit.export.graphs.rewrites import rewrite_graph
from edgeexit.export.precision import Precision
from edgeexit.models.partition import Part, Partition
from edgeexit.models.spec import FeatureInfo

EXAMPLE_BATCH = 2  # one would be taken for a constant

Tell = Callable[[str], None]
"""Called with what is being done now."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX model with a dynamic batch, serialized.

    The input ``threshold``, float32 (1,), that every exit has is not among ``inputs``.
    """

    name: str
    content: bytes
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class _Network(nn.Module):
    """All stages and exits of a network, with what crosses from one to another as outputs."""

    def __init__(self, parts: Partition, dtype: torch.dtype) -> None:
        super().__init__()
        self.steps = [
            (stage.inputs, stage.outputs, exit_.part.inputs)
            for stage, exit_ in zip(parts.stages, parts.exits, strict=True)
        ]
        # copied as one, so that weights that parts share stay shared
        modules = nn.ModuleList(
            module
            for stage, exit_ in zip(parts.stages, parts.exits, strict=True)
            for module in (stage.module, exit_.part.module)
        )
        self.parts = copy.deepcopy(modules).to(device="cpu", dtype=dtype)
        self.dtype = dtype

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, C, H, W) to all outputs in order of execution."""
        features = {IMAGES: images.to(self.dtype)}
        results: list[Tensor] = []
        for number, (reads, writes, exit_reads) in enumerate(self.steps):
            stage, exit_ = self.parts[2 * number], self.parts[2 * number + 1]
            outputs = stage(*(features[info.name] for info in reads))
            features.update(zip((info.name for info in writes), outputs, strict=True))
            results += [*outputs, *exit_(*(features[info.name] for info in exit_reads))]
        return tuple(results)


def export_graphs(
    parts: Partition, precision: Precision, opset: int, *, baseline: bool, tell: Tell
) -> Iterator[Graph]:
    """Yield the graph of every stage and exit in order, and of the plain backbone if asked for.

    A stage maps features to features, in the bundle's precision. An exit maps features and
    ``threshold``, float32 (1,), to ``logits`` float32 (N, K), ``confidence`` float32 (N,),
    ``label`` int32 (N,) and ``exits`` bool (N,), which is confidence >= threshold.

    Raises:
        ExportError: the network cannot be traced, or ONNX does not accept the result.
    """
    tell("tracing")
    extractor = onnx.utils.Extractor(_trace(parts, precision, opset))
    for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
        tell(stage.name)
        inputs, outputs = (
            _tensor_infos(stage.inputs, precision),
            _tensor_infos(stage.outputs, precision),
        )
        model = _extract(extractor, _names(inputs), _names(outputs))
        yield Graph(stage.name, _finish(stage.name, model), inputs, outputs)
        tell(exit_.part.name)
        yield _exit_graph(extractor, exit_.part, exit_.part.name, precision)
    if baseline:
        tell(parts.baseline.name)
        yield _exit_graph(extractor, parts.baseline, parts.exits[-1].part.name, precision)


def _exit_graph(
    extractor: onnx.utils.Extractor, part: Part, traced_as: str, precision: Precision
) -> Graph:
    """Cut out what leads from the inputs of ``part`` to the logits of the exit ``traced_as``."""
    inputs = _tensor_infos(part.inputs, precision)
    (logits,) = part.outputs
    shapes = (logits.shape, (), (), ())
    outputs = tuple(map(TensorInfo, GATE_OUTPUTS, GATE_DTYPES, shapes))
    traced = _traced_logits(traced_as)
    model = _extract(extractor, _names(inputs), [traced])
    add_gate(model, traced, logits.shape[0])
    return Graph(part.name, _finish(part.name, model), inputs, outputs)


def _extract(
    extractor: onnx.utils.Extractor, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Return what leads from ``inputs`` to ``outputs``, the batch size read from the first input.

    The exporter takes every batch size from the images, also in parts that do not read them.
    """
    model: onnx.ModelProto = extractor.extract_model(list(inputs), list(outputs))
    if IMAGES not in inputs:
        for node in model.graph.node:
            if node.op_type == "Shape" and node.input[0] == IMAGES and _is_batch_alone(node):
                node.input[0] = inputs[0]
    return model


def _is_batch_alone(shape: onnx.NodeProto) -> bool:
    """Whether a Shape node gives the first dimension and no other."""
    bounds = {item.name: onnx.helper.get_attribute_value(item) for item in shape.attribute}
    return bounds.get("start", 0) == 0 and bounds.get("end") == 1


def _trace(parts: Partition, precision: Precision, opset: int) -> onnx.ModelProto:
    network = _Network(parts, precision.dtype).eval()
    (images,) = parts.stages[0].inputs
    example = torch.zeros(EXAMPLE_BATCH, *images.shape)
    names: list[str] = []
    for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
        names += [info.name for info in stage.outputs]
        names.append(_traced_logits(exit_.part.name))
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[IMAGES],
                output_names=names,
                opset_version=opset,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # torch's exporters raise many kinds
        raise ExportError(
            f"the network could not be made into ONNX opset {opset}: {_first_line(error)}; write "
            "that step of the network with other operators"
        ) from error
    assert program is not None
    model: onnx.ModelProto = ir.to_proto(rewrite_graph(program.model))
    return model


def _finish(name: str, model: onnx.ModelProto) -> bytes:
    """Return a cut-out part simplified, checked, and without traces of how it was made."""
    try:
        simple, valid = onnxsim.simplify(model)
        if not valid:
            raise ExportError(f"{name}: onnxsim's result differs from what it simplified")
        _strip_metadata(simple)
        simple.graph.name = name
        onnx.checker.check_model(simple, full_check=True)
    except ExportError:
        raise
    except Exception as error:  # onnxsim and onnx have no common error
        raise ExportError(
            f"{name}: ONNX does not accept the graph: {_first_line(error)}"
        ) from error
    content: bytes = simple.SerializeToString(deterministic=True)
    return content


def _tensor_infos(infos: Sequence[FeatureInfo], precision: Precision) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            info.name,
            "float32" if info.name == IMAGES else str(precision.dtype).removeprefix("torch."),
            info.shape,
        )
        for info in infos
    )


def _names(tensors: Sequence[TensorInfo]) -> list[str]:
    return [tensor.name for tensor in tensors]


def _traced_logits(exit_name: str) -> str:
    return f"{exit_name}.logits"


def _first_line(error: BaseException) -> str:
    """Return the reason in a line: what an exporter's error came of, and that of."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


def _strip_metadata(model: onnx.ModelProto) -> None:
    """Remove what the exporters note down, such as paths of this machine's source files."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' remarks, which speak of their own insides, from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
