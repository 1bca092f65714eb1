"""A tiny bundle whose answers can be read off the pixels.

Exit number s (0-based) takes the K pixels of channel 0 from s * K on, in reading order, as its
logits; the plain backbone answers as the last exit does. Costs are made up.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from edgeexit_runtime import Preprocessing
from edgeexit_runtime.bundle.manifest import (
    GATE_OUTPUTS,
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
    manifest_json,
)
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = (3, 8, 8)
CLASSES = tuple("0123456789")
CONFIDENT = 8.0
TYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
}


def write_bundle(folder: Path, baseline: bool = True) -> Path:
    """Write stages ``stage1`` and ``stage2`` and exits ``exit1`` and ``final``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    images = TensorInfo(IMAGES, "float32", SIZE)
    first, second = TensorInfo("first", "float32", SIZE), TensorInfo("second", "float32", SIZE)
    plain = ExitEntry(
        "baseline", None, 0.0, 900, 100, 1000, _exit_graph(folder, "baseline", images, 1)
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        model=ModelInfo("tiny", "n", len(CLASSES)),
        precision="fp32",
        opset=13,
        max_batch=4,
        preprocessing=Preprocessing(SIZE, (0.305,) * 3, (0.324,) * 3),
        class_names=CLASSES,
        stages=(
            StageEntry("stage1", 300, _stage_graph(folder, "stage1", images, first)),
            StageEntry("stage2", 600, _stage_graph(folder, "stage2", first, second)),
        ),
        exits=(
            ExitEntry("exit1", "stage1", 0.5, 300, 50, 350, _exit_graph(folder, "exit1", first, 0)),
            ExitEntry(
                "final", "stage2", 0.0, 900, 100, 1050, _exit_graph(folder, "final", second, 1)
            ),
        ),
        baseline=plain if baseline else None,
    )
    if not baseline:
        (folder / "baseline.onnx").unlink()
    (folder / MANIFEST_NAME).write_text(manifest_json(manifest), encoding="utf-8")
    return folder


def write_images(exits: list[int], labels: list[int]) -> NDArray[np.float32]:
    """Return images (N, 3, 8, 8) that leave at ``exits`` with ``labels``, at thresholds of 0.5.

    The plain backbone answers the label too where the image goes on to the end, else 0.
    """
    images = np.zeros((len(exits), *SIZE), np.float32)
    for image, exit_, label in zip(images, exits, labels, strict=True):
        image[0].reshape(-1)[exit_ * len(CLASSES) + label] = CONFIDENT
    return images


def _stage_graph(folder: Path, name: str, read: TensorInfo, written: TensorInfo) -> GraphEntry:
    nodes = [helper.make_node("Identity", [read.name], [written.name])]
    return _write_graph(folder, name, nodes, [], read, (written,))


def _exit_graph(folder: Path, name: str, read: TensorInfo, index: int) -> GraphEntry:
    count = len(CLASSES)
    weights = np.zeros((np.prod(SIZE), count), np.float32)
    weights[index * count + np.arange(count), np.arange(count)] = 1
    nodes = [
        helper.make_node("Constant", [], ["weights"], value=numpy_helper.from_array(weights)),
        helper.make_node("Flatten", [read.name], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["probabilities"], ["confidence"], axes=[1], keepdims=0),
        helper.make_node("ArgMax", ["logits"], ["label64"], axis=1, keepdims=0),
        helper.make_node("Cast", ["label64"], ["label"], to=TensorProto.INT32),
        helper.make_node("GreaterOrEqual", ["confidence", THRESHOLD], ["exits"]),
    ]
    dtypes = ("float32", "float32", "int32", "bool")
    shapes = ((count,), (), (), ())
    outputs = tuple(TensorInfo(*it) for it in zip(GATE_OUTPUTS, dtypes, shapes, strict=True))
    threshold = helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1])
    return _write_graph(folder, name, nodes, [threshold], read, outputs)


def _write_graph(
    folder: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    more_inputs: list[onnx.ValueInfoProto],
    read: TensorInfo,
    outputs: tuple[TensorInfo, ...],
) -> GraphEntry:
    values = [
        helper.make_tensor_value_info(info.name, TYPES[info.dtype], ["batch", *info.shape])
        for info in (read, *outputs)
    ]
    graph = helper.make_graph(nodes, name, [values[0], *more_inputs], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content = model.SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return GraphEntry(path.name, digest, len(content), (read,), outputs)
