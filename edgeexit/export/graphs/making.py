"""A network -> one ONNX graph per part, simplified and checked.

The network is traced once, with every tensor between its parts as an output, and then cut at
these tensors: tracing takes seconds for a part of any size.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import onnx
import torch
from edgeexit_runtime.bundle.manifest import IMAGES, TensorInfo
from onnxscript import ir
from onnxscript.rewriter import pattern, rewrite
from torch import Tensor, nn

from edgeexit.errors import ExportError
from edgeexit.export.graphs.parts import Cut, Graph, Tell, cut_graphs, first_line, logits_name
from edgeexit.export.precision import Precision
from edgeexit.models.mode import AttentionOfFourDimensions, plain_attention
from edgeexit.models.partition import Partition
from edgeexit.models.spec import FeatureInfo
from edgeexit.scores import SOFTMAX

EXAMPLE_BATCH = 2  # a batch of 1 would be traced as a constant


class _Network(nn.Module):
    """All stages and exits of a network, with the tensors between them as outputs."""

    def __init__(self, parts: Partition, dtype: torch.dtype) -> None:
        super().__init__()
        self.steps = [
            (stage.inputs, stage.outputs, exit_.inputs)
            for stage, exit_ in zip(parts.stages, parts.exits, strict=True)
        ]
        # copied together, so that weights shared by parts stay shared
        modules = nn.ModuleList(
            module
            for stage, exit_ in zip(parts.stages, parts.exits, strict=True)
            for module in (stage.module, exit_.module)
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
    parts: Partition,
    precision: Precision,
    baseline: bool,
    tell: Tell,
    *,
    opset: int,
    score: str = SOFTMAX,
) -> Iterator[Graph]:
    """Yield the graphs of a network: see :func:`edgeexit.export.graphs.parts.cut_graphs`.

    Features are in the precision's type.

    Raises:
        ExportError: the network cannot be traced, or ONNX does not accept the result.
    """
    tell("tracing")
    model = _trace(parts, precision, opset)
    (logits,) = parts.baseline.outputs
    cuts = []
    for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
        crossing = (stage.inputs, stage.outputs, exit_.inputs)
        tensors = (_tensor_infos(infos, precision) for infos in crossing)
        cuts.append(Cut(stage.name, exit_.name, *tensors))
    yield from cut_graphs(model, cuts, logits.shape[0], baseline=baseline, tell=tell, score=score)


def _trace(parts: Partition, precision: Precision, opset: int) -> onnx.ModelProto:
    network = _Network(parts, getattr(torch, precision.dtype)).eval()
    check_size(network)
    (images,) = parts.stages[0].inputs
    example = torch.zeros(EXAMPLE_BATCH, *images.shape)
    names: list[str] = []
    for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
        names += [info.name for info in stage.outputs]
        names.append(logits_name(exit_.name))
    try:
        with _quiet(), plain_attention(), AttentionOfFourDimensions():
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
            f"the network could not be converted to ONNX opset {opset}: {first_line(error)}; write "
            "that step of the network with other operators"
        ) from error
    assert program is not None
    for value, name in zip(program.model.graph.outputs, names, strict=True):
        value.name = name  # before 2.11, torch ignores the name of a tensor that is returned twice
    model: onnx.ModelProto = ir.to_proto(rewrite_graph(program.model))
    return model


def rewrite_graph(model: ir.Model) -> ir.Model:
    """Return the model with products moved before transpositions; its results stay the same.

    A product with a weight moves before a transposition that keeps the last axis. In FP16, the CPU
    provider of ONNX Runtime 1.32 crashes on the original order: Transpose of the first two axes,
    the Cast that it inserts itself, MatMul. Batch-first attention layers have that order.
    """
    rule = pattern.RewriteRule(
        _transpose_then_multiply,
        _multiply_then_transpose,
        _keeps_last_axis,
        remove_nodes=False,  # other nodes may read the transposed tensor too
    )
    return rewrite(model, pattern_rewrite_rules=[rule])


def _transpose_then_multiply(op: Any, x: Any, weight: Any, perm: Any) -> Any:
    return op.MatMul(op.Transpose(x, perm=perm), weight)


def _multiply_then_transpose(op: Any, x: Any, weight: Any, perm: Any) -> Any:
    return op.Transpose(op.MatMul(x, weight), perm=perm)


def _keeps_last_axis(context: Any, x: Any, weight: ir.Value, perm: ir.Attr, **_: Any) -> bool:
    axes = perm.as_ints()
    is_matrix = weight.is_initializer() and weight.shape is not None and len(weight.shape) == 2
    return is_matrix and axes[-1] == len(axes) - 1


def check_size(network: nn.Module) -> None:
    """Check that a network's weights fit into one ONNX file: protobuf messages end at 2 GiB.

    Raises:
        ExportError: the weights are larger.
    """
    size_bytes = sum(tensor.nbytes for tensor in chain(network.parameters(), network.buffers()))
    if size_bytes > onnx.checker.MAXIMUM_PROTOBUF:
        raise ExportError(
            f"the weights take {size_bytes / 1e9:.2f} GB, expected at most "
            f"{onnx.checker.MAXIMUM_PROTOBUF / 1e9:.2f}, the limit of ONNX's format; "
            "export with --precision fp16, or choose a smaller network"
        )


def _tensor_infos(infos: Sequence[FeatureInfo], precision: Precision) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(info.name, "float32" if info.name == IMAGES else precision.dtype, info.shape)
        for info in infos
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' log messages and warnings, which are about their own internals."""
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
