"""Writing a tiny network as a bundle: its ONNX files and the manifest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeexit_runtime.bundle.manifest import (
    IMAGES,
    MANIFEST_NAME,
    SCHEMA_VERSION,
    THRESHOLD,
    ExitEntry,
    GraphEntry,
    Manifest,
    ModelInfo,
    StageEntry,
    TensorInfo,
    gate_tensors,
    manifest_json,
)
from edgeexit_runtime.testing.networks import CHAIN, Network, Tensor

OPSET = 13


def write_bundle(folder: Path, network: Network = CHAIN, *, baseline: bool = True) -> Path:
    """Write the bundle of a network, by default with its plain backbone; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    images = TensorInfo(IMAGES, "float32", network.preprocessing.input_size)
    infos = {IMAGES: images} | {t.name: t.info for stage in network.stages for t in stage}
    gate = gate_tensors(len(network.class_names))
    stages, exits = [], []
    for index, tensors in enumerate(network.stages):
        stage, name = f"stage{index + 1}", network.exit_names[index]
        reads = dict.fromkeys(read for tensor in tensors for read in tensor.reads)
        graph = _write_graph(
            folder,
            stage,
            _stage_nodes(tensors),
            tuple(infos[read] for read in reads),
            tuple(tensor.info for tensor in tensors),
        )
        stages.append(StageEntry(stage, network.stage_macs[index], graph))
        inputs = tuple(infos[read] for read in network.exit_reads[index])
        graph = _write_graph(folder, name, _exit_nodes(network, index), inputs, gate)
        backbone, own = sum(network.stage_macs[: index + 1]), network.branch_macs[index]
        path_macs = backbone + sum(network.branch_macs[: index + 1])
        threshold = 0.0 if name == "final" else network.threshold
        exits.append(ExitEntry(name, stage, threshold, backbone, own, path_macs, graph))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        model=ModelInfo("tiny", network.branches, len(network.class_names)),
        precision="fp32",
        opset=OPSET,
        max_batch=network.max_batch,
        preprocessing=network.preprocessing,
        class_names=network.class_names,
        stages=tuple(stages),
        exits=tuple(exits),
        baseline=_baseline(network, folder, images, exits[-1]) if baseline else None,
    )
    (folder / MANIFEST_NAME).write_text(manifest_json(manifest), encoding="utf-8")
    return folder


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Apply ``change`` to the manifest's JSON in place, and write it."""
    path = folder / MANIFEST_NAME
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def replace_graph(folder: Path, name: str, content: bytes) -> None:
    """Replace the contents of a stage's or exit's graph, and its hash and size in the manifest."""

    def change(manifest: dict[str, Any]) -> None:
        for entry in (*manifest["stages"], *manifest["exits"]):
            if entry["name"] == name:
                entry["graph"]["sha256"] = hashlib.sha256(content).hexdigest()
                entry["graph"]["size_bytes"] = len(content)

    (folder / f"{name}.onnx").write_bytes(content)
    edit_manifest(folder, change)


def _baseline(network: Network, folder: Path, images: TensorInfo, final: ExitEntry) -> ExitEntry:
    nodes = [node for stage in network.stages for node in _stage_nodes(stage)]
    nodes += _exit_nodes(network, len(network.stages) - 1)
    graph = _write_graph(folder, "baseline", nodes, (images,), final.graph.outputs)
    return dataclasses.replace(
        final, name="baseline", stage=None, path_macs=final.macs, graph=graph
    )


def _stage_nodes(tensors: tuple[Tensor, ...]) -> list[onnx.NodeProto]:
    return [node for tensor in tensors for node in _tensor_nodes(tensor)]


def _tensor_nodes(tensor: Tensor) -> list[onnx.NodeProto]:
    name = tensor.name
    nodes = [
        *_sum_nodes(name, tensor.reads, tensor.dtype),
        _constant(f"{name}_scale", np.array(tensor.scale, tensor.dtype)),
        helper.make_node("Mul", [f"{name}_sum", f"{name}_scale"], [f"{name}_scaled"]),
    ]
    if tensor.has_relu:
        nodes.append(helper.make_node("Relu", [f"{name}_scaled"], [f"{name}_relu"]))
    if tensor.shape[1:] == (1, 1):
        read = nodes[-1].output[0]
        nodes.append(helper.make_node("ReduceMax", [read], [name], axes=[2, 3], keepdims=1))
    nodes[-1].output[0] = name
    return nodes


def _exit_nodes(network: Network, index: int) -> list[onnx.NodeProto]:
    pixels, classes = int(np.prod(network.preprocessing.input_size)), len(network.class_names)
    columns = np.zeros((pixels, classes), np.float32)
    columns[index * network.step + np.arange(classes), np.arange(classes)] = 1
    return [
        *_sum_nodes("features", network.exit_reads[index], "float32"),
        _constant("weights", columns),
        helper.make_node("Flatten", ["features_sum"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["probabilities"], ["confidence"], axes=[1], keepdims=0),
        helper.make_node("ArgMax", ["logits"], ["label64"], axis=1, keepdims=0),
        helper.make_node("Cast", ["label64"], ["label"], to=TensorProto.INT32),
        helper.make_node("GreaterOrEqual", ["confidence", THRESHOLD], ["exits"]),
    ]


def _sum_nodes(name: str, reads: tuple[str, ...], dtype: str) -> list[onnx.NodeProto]:
    """``{name}_sum`` = the sum of ``reads``, cast to ``dtype``."""
    casts = [f"{name}_{read}_cast" for read in reads]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return [
        *(
            helper.make_node("Cast", [read], [cast], to=element)
            for read, cast in zip(reads, casts, strict=True)
        ),
        helper.make_node("Sum", casts, [f"{name}_sum"]),
    ]


def _constant(name: str, value: NDArray[Any]) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


def _write_graph(
    folder: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: tuple[TensorInfo, ...],
    outputs: tuple[TensorInfo, ...],
) -> GraphEntry:
    reads, writes = ([*map(_value_info, tensors)] for tensors in (inputs, outputs))
    if any(THRESHOLD in node.input for node in nodes):
        reads.append(helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1]))
    graph = helper.make_graph(nodes, name, reads, writes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return GraphEntry(path.name, digest, len(content), inputs, outputs)


def _value_info(tensor: TensorInfo) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, element, ["batch", *tensor.shape])
