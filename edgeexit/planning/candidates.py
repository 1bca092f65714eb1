"""Bundles of networks with random weights, which take the same time as trained ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from edgeexit_runtime import Preprocessing
from edgeexit_runtime.progress import Progress, ignore_progress
from numpy.typing import NDArray

from edgeexit.data import DataConfig
from edgeexit.export import (
    PRECISIONS,
    CalibrationImages,
    ExportOptions,
    Precision,
    export_bundle,
)
from edgeexit.models import ModelSpec, MultiExitNet
from edgeexit.models.factories import ModelSource
from edgeexit.training import Checkpoint

CALIBRATION_IMAGES = 8
ANY_ERROR = 1e9


def write_candidates(
    build: Callable[[str], MultiExitNet],
    patterns: Sequence[str],
    folder: Path,
    precision: Precision,
    model: ModelSource | None = None,
    progress: Progress = ignore_progress,
) -> list[Path]:
    """Write a bundle for each pattern of branches, with its plain backbone, for batch 1.

    Args:
        build: makes the network of a pattern, see :class:`edgeexit.models.spec.ModelSpec`.
        folder: the folder for the bundles, which get a folder each.
        model: the origin of the backbone if it is not registered.

    Raises:
        SpecError, ExportError: a network cannot be built or exported.
        WriteError: the folder cannot be written to.
    """
    folders = []
    for at, pattern in enumerate(patterns):
        progress(f"export {pattern}", at / len(patterns))
        net = build(pattern).eval()
        name = net.spec.backbone.replace(":", ".").replace("/", "_")
        folders.append(folder / f"{name}_{pattern}")
        export_untrained(net, folders[-1], precision, max_batch=1, model=model)
    progress("exported", 1)
    return folders


def random_network(spec: ModelSpec, seed: int = 0) -> MultiExitNet:
    """Return the network with its initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MultiExitNet(spec).eval()


def untrained(precision: Precision) -> Precision:
    """Return a precision for untrained networks, without requirements on their agreement."""
    return dataclasses.replace(precision, min_agreement=0.0, max_logit_error=ANY_ERROR)


def export_untrained(
    network: MultiExitNet,
    folder: Path,
    precision: Precision = PRECISIONS["fp32"],
    calibration: CalibrationImages | None = None,
    *,
    max_batch: int = 32,
    model: ModelSource | None = None,
    baseline: bool = True,
) -> None:
    """Write a network's bundle, with its plain backbone; by default INT8 is calibrated on noise."""
    spec = network.spec
    channels = spec.input_size[0]
    checkpoint = Checkpoint(
        spec=spec,
        weights=network.state_dict(),
        preprocessing=Preprocessing(spec.input_size, (0.5,) * channels, (0.25,) * channels),
        class_names=tuple(map(str, range(spec.num_classes))),
        thresholds=dict.fromkeys(spec.exit_names[:-1], 0.5),
        data=DataConfig("none"),
        training={},
        metrics={},
    )
    if calibration is None and (
        precision.quantization is not None and precision.quantization.extent == "all"
    ):
        calibration = CalibrationImages("noise", noise(CALIBRATION_IMAGES, spec.input_size, seed=1))
    export_bundle(
        checkpoint,
        folder,
        ExportOptions(precision, precision.least_opset, max_batch, baseline),
        noise(2, spec.input_size, seed=0),
        "noise",
        calibration=calibration,
        model=model,
    )


def noise(count: int, size: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    """Return random images (count, C, H, W) of different contrast, so that confidences differ."""
    rng = np.random.default_rng(seed)
    contrast = rng.uniform(0.2, 2, (count, 1, 1, 1))
    return (rng.standard_normal((count, *size)) * contrast).astype(np.float32)
