"""A small trained-like network and its bundles, exported once for all tests here."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime import Preprocessing
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeexit.data import DataConfig
from edgeexit.export import (
    PRECISIONS,
    CalibrationImages,
    ExportedBundle,
    ExportOptions,
    Graph,
    export_bundle,
)
from edgeexit.export.bundle import network_subject
from edgeexit.export.graphs.making import export_graphs
from edgeexit.export.writing import Subject
from edgeexit.models import MultiExitNet, make_spec, register_backbone
from edgeexit.models.backbone import Backbone, chained
from edgeexit.models.partition import partition
from edgeexit.training import Checkpoint

INPUT_SIZE = (3, 16, 16)


@register_backbone(input_size=INPUT_SIZE)
def tiny_for_export(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    def stage(before: int, after: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
        )

    bodies = OrderedDict(stage1=stage(3, 8, 1), stage2=stage(8, 16, 2), stage3=stage(16, 32, 2))
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, num_classes))
    return Backbone(chained(bodies), classifier, exit_stages=("stage1", "stage2"))


class Residual(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = (
            nn.Identity() if (before, stride) == (after, 1) else nn.Conv2d(before, after, 1, stride)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.convolutions(features) + self.shortcut(features))


@register_backbone(input_size=INPUT_SIZE)
def tiny_residual_for_export(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    """An addition to a convolution, and one to what a stage before gives."""
    bodies = OrderedDict[str, nn.Module](
        stage1=nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU()),
        stage2=Residual(8, 8, 1),
        stage3=Residual(8, 16, 2),
    )
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(16 * 8 * 8, num_classes))
    return Backbone(chained(bodies), classifier, exit_stages=("stage1", "stage2"))


@pytest.fixture(scope="session")
def samples() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((40, *INPUT_SIZE), np.float32)


@pytest.fixture(scope="session")
def checkpoint(samples: NDArray[np.float32]) -> Checkpoint:
    return sharpened("tiny_for_export", samples)


def sharpened(
    backbone: str, samples: NDArray[np.float32], num_classes: int = 5, spread: float = 3
) -> Checkpoint:
    """Random weights, sharpened so that confidences spread over 0 to 1."""
    torch.manual_seed(0)
    spec = make_spec(backbone, "2+n", num_classes)
    net = MultiExitNet(spec)
    with torch.no_grad():
        net(torch.from_numpy(samples))  # batch norm sees the data once
        for name, logits in net.eval()(torch.from_numpy(samples)).items():
            linear = net.backbone.classifier[-1] if name == "final" else None
            linear = linear or net.branches[name].classifier[-1]
            linear.bias -= logits.mean(0)
            scale = spread / (logits - logits.mean(0)).std()
            linear.weight *= scale
            linear.bias *= scale
    return Checkpoint(
        spec=spec,
        weights=net.state_dict(),
        preprocessing=Preprocessing(INPUT_SIZE, (0.5,) * 3, (0.25,) * 3),
        class_names=tuple(map(str, range(num_classes))),
        thresholds={"exit1": 0.8, "exit2": 0.7},
        data=DataConfig("digits"),
        training={},
        metrics={},
    )


@pytest.fixture(scope="session")
def fp32_bundle(
    checkpoint: Checkpoint, samples: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> ExportedBundle:
    options = ExportOptions(PRECISIONS["fp32"], max_batch=16)
    output: Path = tmp_path_factory.mktemp("export") / "fp32"
    return export_bundle(checkpoint, output, options, samples, "noise")


@pytest.fixture(scope="session")
def fp16_bundle(
    checkpoint: Checkpoint, samples: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> ExportedBundle:
    options = ExportOptions(PRECISIONS["fp16"], max_batch=16)
    output: Path = tmp_path_factory.mktemp("export") / "fp16"
    return export_bundle(checkpoint, output, options, samples, "noise")


@pytest.fixture(params=["fp32", "fp16"])
def exported(request: pytest.FixtureRequest) -> ExportedBundle:
    bundle: ExportedBundle = request.getfixturevalue(f"{request.param}_bundle")
    return bundle


@pytest.fixture(scope="session")
def residual(samples: NDArray[np.float32]) -> Checkpoint:
    """Of so many classes that two of its exits are large enough for a classifier of 8 bits."""
    return sharpened("tiny_residual_for_export", samples, num_classes=64, spread=5)


@pytest.fixture(scope="session")
def residual_graphs(residual: Checkpoint) -> tuple[Graph, ...]:
    """The FP32 graphs of :func:`residual`, in opset 19, which FP16 around INT8 takes."""
    parts = partition(residual.build())
    return tuple(export_graphs(parts, PRECISIONS["fp32"], True, lambda step: None, opset=19))


@pytest.fixture(scope="session")
def residual_subject(residual: Checkpoint, residual_graphs: tuple[Graph, ...]) -> Subject:
    """:func:`residual` as it becomes a bundle, traced once for all of them."""
    made = network_subject(residual, residual.build(), 19)
    return dataclasses.replace(made, graphs=lambda *_: residual_graphs)


@pytest.fixture(scope="session")
def calibration() -> CalibrationImages:
    """Noise as ``samples``, but other; not a multiple of the images that are run at once."""
    return CalibrationImages(
        "noise to calibrate on",
        np.random.default_rng(2).standard_normal((37, *INPUT_SIZE), np.float32),
    )
