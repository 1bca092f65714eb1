"""Exports what the kit measures, in FP32, FP16 and INT8: a trained network of the digits, and a
ResNet-18 with random weights at 224x224, whose times are those of a trained one.

Usage: python make_bundles.py bundles/ [digits.pt]: of the digits, or else of ResNet-18
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from edgeexit_runtime import Preprocessing

from edgeexit.data import DataConfig, load_data
from edgeexit.export import PRECISIONS, ExportOptions, Precision, export_bundle
from edgeexit.export.int8.calibration_images import CalibrationImages
from edgeexit.models import ModelSpec, MultiExitNet, make_spec
from edgeexit.training import Checkpoint, load_checkpoint

MAX_BATCH = 8


def digits_samples(count: int, split: str) -> np.ndarray:
    """Return digits (count, C, 32, 32), normalized."""
    images = load_data(DataConfig("digits")).splits[split]
    return np.stack([np.asarray(images[place][0]) for place in range(count)])


def random_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Return a network with random weights, normalized as after training.

    Without that, features grow from block to block: ResNet-110's leave FP16.
    """
    torch.manual_seed(0)
    network = MultiExitNet(spec)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # statistics are those of the batch below
    with torch.no_grad():
        network.train()(torch.randn(4, *spec.input_size))
    return Checkpoint(
        spec=spec,
        weights=network.state_dict(),
        preprocessing=Preprocessing(spec.input_size, (0.5,) * 3, (0.25,) * 3),
        class_names=tuple(map(str, range(spec.num_classes))),
        thresholds=dict.fromkeys(spec.exit_names[:-1], 0.5),
        data=DataConfig("none"),
        training={},
        metrics={},
    )


def untested(precision: Precision) -> Precision:
    """Return a precision that takes whatever comes: of random weights decisions say nothing."""
    return dataclasses.replace(precision, min_agreement=0.0, max_logit_error=1e9)


def export_one(
    checkpoint: Checkpoint, precision: Precision, samples: np.ndarray, bundle: Path
) -> None:
    """Write a bundle; INT8 is calibrated with half of the samples, its rest is FP16."""
    given = None
    if precision.quantization is not None:
        half = dataclasses.replace(precision.quantization, method="minmax", fallback="fp16")
        precision = precision.quantized(half)
        given = CalibrationImages("other samples", samples[: len(samples) // 2])
    options = ExportOptions(precision, opset=19, max_batch=MAX_BATCH)
    result = export_bundle(checkpoint, bundle, options, samples, "samples", calibration=given)
    agreement = {exit_.name: exit_.equal_decisions for exit_ in result.verification.exits}
    print(bundle.name, agreement, flush=True)


def export_digits(trained: Path, folder: Path) -> None:
    checkpoint, samples = load_checkpoint(trained), digits_samples(128, "val")
    for precision in PRECISIONS.values():
        export_one(checkpoint, precision, samples, folder / f"digits-{precision.name}")


def export_resnet18(folder: Path) -> None:
    noise = np.random.default_rng(0).standard_normal((8, 3, 224, 224)).astype(np.float32)
    checkpoint = random_checkpoint(make_spec("resnet18", "4+3+2", 1000))
    for precision in PRECISIONS.values():
        export_one(checkpoint, untested(precision), noise, folder / f"resnet18-{precision.name}")


if __name__ == "__main__":
    output = Path(sys.argv[1])
    output.mkdir(exist_ok=True)
    if len(sys.argv) > 2:
        export_digits(Path(sys.argv[2]), output)
    else:
        export_resnet18(output)
