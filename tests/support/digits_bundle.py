"""Bundles of a small network for the handwritten digits, whose images leave at every exit.

Its weights are random, and its classifiers are made sure of themselves: nothing is trained.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgeexit.data import DataConfig, load_data
from edgeexit.data.dataset import ImageDataset
from edgeexit.export import (
    PRECISIONS,
    TARGETS,
    CalibrationImages,
    ExportOptions,
    Quantization,
    export_bundle,
)
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import Checkpoint
from support import tiny_backbones

__all__ = ["digits_bundle", "digits_frames"]

CONFIG = DataConfig("digits", input_size=tiny_backbones.SIZE)
SHARPNESS = 2.5  # standard deviation of logits
MIN_AGREEMENT = 0.7  # of the bundle with the network; what is tested is the bundle


def digits_bundle(folder: Path, precision: str) -> Path:
    """Write a bundle in a precision, or in INT8 for a target, and return its folder.

    ``int8`` is of target cpu.
    """
    data = load_data(CONFIG)
    samples = _images(data.splits["val"])
    spec = make_spec("three_convolutions", "1+n", len(data.class_names))
    checkpoint = Checkpoint(
        spec=spec,
        weights=_sharpened(MultiExitNet(spec), torch.from_numpy(samples)).state_dict(),
        preprocessing=data.preprocessing,
        class_names=data.class_names,
        thresholds=dict.fromkeys(spec.exit_names[:-1], 0.6),
        data=CONFIG,
        training={},
        metrics={},
    )
    target = "cpu" if precision == "int8" else precision
    if target in TARGETS.names():
        wanted = PRECISIONS["int8"].quantized(Quantization("all", "minmax", "fp32", target))
        calibration = CalibrationImages("digits", _images(data.splits["train"])[:50])
    else:
        wanted, calibration = PRECISIONS[precision], None
    wanted = dataclasses.replace(wanted, min_agreement=MIN_AGREEMENT)
    options = ExportOptions(wanted, 19, max_batch=8)
    export_bundle(checkpoint, folder, options, samples, "val", calibration=calibration)
    return folder


def digits_frames() -> NDArray[np.uint8]:
    """Return all test images as a camera gives them, uint8 (N, 8, 8, 3)."""
    data = load_data(CONFIG)
    how = data.preprocessing
    mean, std = (np.reshape(value, (3, 1, 1)) for value in (how.mean, how.std))
    pixels = (_images(data.splits["test"]) * std + mean) * 255
    return np.ascontiguousarray(np.rint(pixels).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def _images(split: ImageDataset) -> NDArray[np.float32]:
    return np.stack([split[place][0].numpy() for place in range(len(split))])


def _sharpened(net: MultiExitNet, samples: torch.Tensor) -> MultiExitNet:
    """Centre every exit's logits and spread them."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight)
        net(samples)  # batch norm sees the data once
        for name, logits in net.eval()(samples).items():
            head = net.backbone.classifier if name == "final" else net.branches[name].classifier
            linear = [module for module in head.modules() if isinstance(module, torch.nn.Linear)][
                -1
            ]
            linear.bias -= logits.mean(0)
            scale = SHARPNESS / (logits - logits.mean(0)).std()
            linear.weight *= scale
            linear.bias *= scale
    return net
