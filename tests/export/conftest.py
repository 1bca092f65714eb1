"""A small trained-like network and its bundles, exported once for all tests here."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime import Preprocessing
from numpy.typing import NDArray
from torch import nn

from edgeexit.data import DataConfig
from edgeexit.export import PRECISIONS, ExportedBundle, ExportOptions, export_bundle
from edgeexit.models import MultiExitNet, make_spec, register_backbone
from edgeexit.models.backbone import Backbone, chained
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


@pytest.fixture(scope="session")
def samples() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((40, *INPUT_SIZE), np.float32)


@pytest.fixture(scope="session")
def checkpoint(samples: NDArray[np.float32]) -> Checkpoint:
    """Random weights, sharpened so that confidences spread over 0 to 1."""
    torch.manual_seed(0)
    spec = make_spec("tiny_for_export", "2+n", num_classes=5)
    net = MultiExitNet(spec)
    with torch.no_grad():
        net(torch.from_numpy(samples))  # batch norm sees the data once
        for name, logits in net.eval()(torch.from_numpy(samples)).items():
            linear = net.backbone.classifier[-1] if name == "final" else None
            linear = linear or net.branches[name].classifier[-1]
            linear.bias -= logits.mean(0)
            scale = 3 / (logits - logits.mean(0)).std()
            linear.weight *= scale
            linear.bias *= scale
    return Checkpoint(
        spec=spec,
        weights=net.state_dict(),
        preprocessing=Preprocessing(INPUT_SIZE, (0.5,) * 3, (0.25,) * 3),
        class_names=tuple("abcde"),
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
