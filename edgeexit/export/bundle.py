"""Export of a trained network to a bundle: its graphs, its costs, and its logits in PyTorch."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from edgeexit_runtime.bundle.manifest import ModelInfo
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.progress import Progress, ignore_progress
from numpy.typing import NDArray

from edgeexit.cost import partition_cost
from edgeexit.errors import ExportError
from edgeexit.export.graphs.making import export_graphs
from edgeexit.export.int8.calibration_images import CalibrationImages
from edgeexit.export.verification import batches
from edgeexit.export.writing import (
    ExportedBundle,
    ExportOptions,
    Subject,
    check_output,
    write_bundle,
)
from edgeexit.models.agreement import check_each_alone
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.partition import partition
from edgeexit.training.checkpoint import Checkpoint

LOOKED_AT = 8
"""Samples run both alone and in one batch: an answer must not depend on the rest of its batch."""

BATCH = 32
PACKAGES = ("edgeexit", "torch", "onnx", "onnxscript", "onnxsim")


def export_bundle(
    checkpoint: Checkpoint,
    output: str | Path,
    options: ExportOptions,
    samples: NDArray[np.float32],
    source: str,
    progress: Progress = ignore_progress,
    *,
    model: ModelSource | None = None,
    labels: NDArray[np.int64] | None = None,
    calibration: CalibrationImages | None = None,
) -> ExportedBundle:
    """Write the bundle of a trained network to the folder ``output``.

    The bundle is built in a temporary folder and verified there against the network. Only then
    does it replace what is at ``output``.

    Args:
        checkpoint: the trained network and its thresholds.
        output: the bundle's folder; an older bundle there is replaced.
        options: precision and form.
        samples: real images (N, C, H, W) float32, normalized, to verify the bundle on.
        source: where the samples come from, for the record.
        progress: called with every step.
        model: the model that the network is built from, if not a registered backbone: see
            :meth:`Checkpoint.build`.
        labels: labels (N,) of ``samples``, for the accuracies in the record.
        calibration: images to measure the value ranges of INT8 on. Samples that are among them are
            excluded from the verification.

    Raises:
        CheckpointError, SpecError: the network cannot be built from the checkpoint and ``model``,
            or its answer for an image depends on the rest of the batch.
        ExportError: ``output`` holds something other than a bundle, a part cannot be exported, or
            the bundle does not agree with the network.
        DataError: there are too few images to calibrate on, or none left to verify with.
        BusyError: another process exports to ``output``, or changes the bundle there.
        WriteError: the disk is full or the folder cannot be written to.
    """
    output = Path(output)
    check_output(output)
    if len(samples) == 0:
        raise ExportError("no samples to verify the bundle on; give a data set with images")
    net = checkpoint.build(model)
    with torch.no_grad():
        check_each_alone(checkpoint.spec.backbone, net, net, torch.from_numpy(samples[:LOOKED_AT]))
    subject = network_subject(checkpoint, net, options.opset)
    return write_bundle(
        subject, output, options, samples, source, progress, labels=labels, calibration=calibration
    )


def network_subject(checkpoint: Checkpoint, net: MultiExitNet, opset: int) -> Subject:
    """Return what becomes a bundle of ``net``, which was built from ``checkpoint``."""
    spec, parts = checkpoint.spec, partition(net)
    cost = partition_cost(parts)
    return Subject(
        model=ModelInfo(spec.backbone, spec.pattern, spec.num_classes),
        preprocessing=checkpoint.preprocessing,
        class_names=checkpoint.class_names,
        data=encode(checkpoint.data),
        thresholds=checkpoint.thresholds,
        cost=cost,
        graphs=partial(export_graphs, parts, opset=opset, score=checkpoint.score),
        logits=partial(_logits, net),
        packages=PACKAGES,
        temperatures=checkpoint.temperatures,
        guarantee=checkpoint.guarantee,
        score=checkpoint.score,
    )


@torch.inference_mode()
def _logits(net: MultiExitNet, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    runs = [net(torch.from_numpy(samples[part])) for part in batches(len(samples), BATCH)]
    return {name: torch.cat([run[name] for run in runs]).numpy() for name in net.spec.exit_names}
