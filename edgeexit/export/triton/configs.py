"""A manifest -> Triton's configuration of each model, and of the chain of models."""

from __future__ import annotations

import json
from typing import Any

from edgeexit_runtime.bundle.manifest import (
    IMAGES,
    THRESHOLD,
    GraphEntry,
    Manifest,
    TensorInfo,
)

from edgeexit.export.single.about import is_for_cpus, wants_vnni
from edgeexit.export.triton.schema import new_config

ONNX_RUNTIME, TENSORRT = "onnxruntime_onnx", "tensorrt_plan"
PLATFORMS = (ONNX_RUNTIME, TENSORRT)

OUTPUTS = {"labels": "TYPE_INT64", "confidences": "TYPE_FP32", "exits": "TYPE_INT64"}
"""Outputs of the early-exit model, one value per image, as in ``edgeexit serve``."""
TYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "uint8": "TYPE_UINT8",
    "bool": "TYPE_BOOL",
}
THRESHOLD_PREFIX = "threshold_"
NEEDS_VNNI = "needs_vnni"
"""Parameter of INT8 models whose sums saturate on x86 CPUs without VNNI: Triton's backend has no
option to widen the sums, as the runtime's session does."""


def part_name(name: str, part: str) -> str:
    """Return the name of a part's model."""
    return f"{name}_{part}"


def part_config(name: str, part: str, entry: GraphEntry, manifest: Manifest, platform: str) -> Any:
    """Return the ``config.pbtxt`` of a part, which takes batches unchanged.

    The first dimension of every tensor is the batch, but to Triton there is none
    (``max_batch_size`` 0): it would expect one of ``threshold``, too. Batches are formed before the
    chain, not within it.
    """
    inputs = [_whole(tensor) for tensor in entry.inputs]
    if part in manifest.exit_names:
        inputs.append({"name": THRESHOLD, "data_type": "TYPE_FP32", "dims": [1]})
    return new_config(
        name=part_name(name, part),
        platform=platform,
        input=inputs,
        output=[_whole(tensor) for tensor in entry.outputs],
        instance_group=[{"kind": "KIND_CPU"}] if is_for_cpus(manifest.quantization) else [],
    )


def early_exit_config(name: str, manifest: Manifest) -> Any:
    """Return the ``config.pbtxt`` of the model that chains the parts, with the thresholds."""
    size = manifest.preprocessing.input_size
    parameters = {
        "class_names": json.dumps(manifest.class_names),
        "exit_names": json.dumps(manifest.exit_names),
        "precision": manifest.precision,
        "mean": json.dumps(manifest.preprocessing.mean),
        "std": json.dumps(manifest.preprocessing.std),
    }
    if wants_vnni(manifest.quantization):
        parameters[NEEDS_VNNI] = "true"
    for exit_, threshold in manifest.thresholds.items():
        parameters[f"{THRESHOLD_PREFIX}{exit_}"] = repr(threshold)
    return new_config(
        name=name,
        backend="python",
        max_batch_size=manifest.max_batch,
        input=[{"name": IMAGES, "data_type": "TYPE_FP32", "dims": list(size)}],
        output=[
            # Triton has no tensors of shape (N,): requests see (N, 1)
            {"name": output, "data_type": dtype, "dims": [1], "reshape": {}}
            for output, dtype in OUTPUTS.items()
        ],
        dynamic_batching={},
        instance_group=[{"kind": "KIND_CPU"}],
        parameters={key: {"string_value": value} for key, value in parameters.items()},
    )


def chain(name: str, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the steps that ``model.py`` runs, one for each exit, as JSON values."""
    stages = {stage.name: stage.graph for stage in manifest.stages}
    steps = []
    for exit_ in manifest.exits:
        assert exit_.stage is not None, "only the plain backbone has none"
        stage = stages[exit_.stage]
        steps.append(
            {
                "name": exit_.name,
                "stage": part_name(name, exit_.stage),
                "stage_inputs": [tensor.name for tensor in stage.inputs],
                "stage_outputs": [tensor.name for tensor in stage.outputs],
                "exit": part_name(name, exit_.name),
                "exit_inputs": [tensor.name for tensor in exit_.graph.inputs],
            }
        )
    return steps


def _whole(tensor: TensorInfo) -> dict[str, Any]:
    """Return the config of a part's tensor, with a dynamic batch dimension."""
    return {"name": tensor.name, "data_type": TYPES[tensor.dtype], "dims": [-1, *tensor.shape]}
