"""One part of a network -> one ONNX file, simplified and checked."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
import onnxsim
import torch
from edgeexit_runtime.manifest import GATE_OUTPUTS, IMAGES, THRESHOLD, TensorInfo
from torch import Tensor, nn

from edgeexit.errors import ExportError
from edgeexit.export.precision import Precision
from edgeexit.models.partition import Part
from edgeexit.models.spec import FeatureInfo

__all__ = ["Graph", "exit_graph", "stage_graph"]

EXAMPLE_BATCH = 2  # one would be taken for a constant


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX model with a dynamic batch, serialized; an exit's threshold is not in ``inputs``."""

    name: str
    content: bytes
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class _Stage(nn.Module):
    """A part in the bundle's precision, which takes the images as FP32."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module = module
        self.dtype = dtype

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        result: tuple[Tensor, ...] = self.module(*(tensor.to(self.dtype) for tensor in features))
        return result


class _Exit(nn.Module):
    """A classifier with softmax and gate in FP32 behind it (Section III-C)."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *features, threshold = inputs
        (logits,) = self.stage(*features)
        logits = logits.float()  # (N, K)
        confidence, label = logits.softmax(dim=1).max(dim=1)  # (N,), (N,)
        return logits, confidence, label.int(), confidence >= threshold


def stage_graph(part: Part, precision: Precision, opset: int) -> Graph:
    """Export a stage: features in, features out, both in the bundle's precision.

    Raises:
        ExportError: the part cannot be traced, or ONNX does not accept the result.
    """
    inputs = tuple(_tensor_info(info, precision) for info in part.inputs)
    outputs = tuple(_tensor_info(info, precision) for info in part.outputs)
    content = _export(part.name, _in_precision(part, precision), inputs, (), outputs, opset)
    return Graph(part.name, content, inputs, outputs)


def exit_graph(part: Part, precision: Precision, opset: int) -> Graph:
    """Export an exit: features and ``threshold`` float32 (1,) in, the four gate outputs out.

    The outputs are ``logits`` float32 (N, K), ``confidence`` float32 (N,), ``label`` int32 (N,)
    and ``exits`` bool (N,), which is confidence >= threshold.

    Raises:
        ExportError: the part cannot be traced, or ONNX does not accept the result.
    """
    inputs = tuple(_tensor_info(info, precision) for info in part.inputs)
    (logits,) = part.outputs
    shapes = (logits.shape, (), (), ())
    dtypes = ("float32", "float32", "int32", "bool")
    outputs = tuple(
        TensorInfo(name, dtype, shape)
        for name, dtype, shape in zip(GATE_OUTPUTS, dtypes, shapes, strict=True)
    )
    module = _Exit(_in_precision(part, precision))
    threshold = (torch.tensor([0.5]),)
    content = _export(part.name, module, inputs, threshold, outputs, opset)
    return Graph(part.name, content, inputs, outputs)


def _tensor_info(info: FeatureInfo, precision: Precision) -> TensorInfo:
    dtype = torch.float32 if info.name == IMAGES else precision.dtype
    return TensorInfo(info.name, str(dtype).removeprefix("torch."), info.shape)


def _in_precision(part: Part, precision: Precision) -> _Stage:
    module = copy.deepcopy(part.module).to(device="cpu", dtype=precision.dtype)
    return _Stage(module, precision.dtype)


def _export(
    name: str,
    module: nn.Module,
    inputs: tuple[TensorInfo, ...],
    constants: tuple[Tensor, ...],
    outputs: tuple[TensorInfo, ...],
    opset: int,
) -> bytes:
    """Return the ONNX file of ``module``; ``constants`` are inputs without a batch dimension."""
    examples = tuple(
        torch.zeros(EXAMPLE_BATCH, *tensor.shape, dtype=getattr(torch, tensor.dtype))
        for tensor in inputs
    )
    batch = torch.export.Dim("batch", min=1)
    # one entry for the one parameter of forward(*features), which holds all tensors
    dynamic = ((*({0: batch} for _ in examples), *(None for _ in constants)),)
    names = [tensor.name for tensor in inputs] + [THRESHOLD] * len(constants)
    try:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                (*examples, *constants),
                input_names=names,
                output_names=[tensor.name for tensor in outputs],
                opset_version=opset,
                dynamo=True,
                dynamic_shapes=dynamic,
                external_data=False,
                verbose=False,
            )
            assert program is not None
            model, valid = onnxsim.simplify(program.model_proto)
            if not valid:
                raise ExportError(f"{name}: onnxsim's result differs from what it simplified")
            _strip_metadata(model)
            onnx.checker.check_model(model, full_check=True)
    except ExportError:
        raise
    except Exception as error:  # torch, onnxsim and onnx have no common error
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"{name}: could not be made into ONNX opset {opset}: {reason}") from error
    content: bytes = model.SerializeToString()
    return content


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
