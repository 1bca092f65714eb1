"""Classifiers that know nothing of exits, from attach_exits to the runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
import torchvision
from edgeexit_runtime.preprocess import Preprocessing
from numpy.typing import NDArray
from torch import Tensor, nn

from edgeexit.data import DataConfig
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.models import FINAL, MultiExitNet, attach_exits
from edgeexit.training import Checkpoint

SAMPLES = 24
CLASSES = 10


class Skips(nn.Module):
    """What the first layer gives is read again by the last, over the second's head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8))
        self.third = nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.size(0)
        first = self.first(x)
        second = self.second(first).relu_()
        mixed = torch.cat([first.mean((2, 3)), second.mean((2, 3))], dim=1)
        rest = self.third(second).mean((2, 3)) + mixed.view(batch, 2, -1).sum(1)
        logits: Tensor = self.head(rest)
        return logits


def torchvision_model(name: str, **arguments: object) -> Callable[[], nn.Module]:
    return lambda: torchvision.models.get_model(name, num_classes=CLASSES, **arguments)


# model, exits, branches, pixels
CASES: dict[str, tuple[Callable[[], nn.Module], list[str], str, int]] = {
    "skips": (lambda: Skips(CLASSES), ["first", "second"], "1+n", 32),
    "squeezenet1_1": (
        torchvision_model("squeezenet1_1"),
        ["features.4", "features.7"],
        "1+n",
        48,
    ),
    "densenet121": (
        torchvision_model("densenet121"),
        ["features.denseblock1", "features.denseblock2", "features.denseblock3"],
        "2+1+n",
        64,
    ),
    "efficientnet_b0": (
        torchvision_model("efficientnet_b0"),
        ["features.2", "features.3", "features.5"],
        "2+1+n",
        64,
    ),
    "mobilenet_v3_large": (
        torchvision_model("mobilenet_v3_large"),
        ["features.3", "features.6", "features.12"],
        "2+1+n",
        64,
    ),
    "regnet_y_400mf": (
        torchvision_model("regnet_y_400mf"),
        ["trunk_output.block1", "trunk_output.block2", "trunk_output.block3"],
        "2+1+n",
        64,
    ),
    "shufflenet_v2_x1_0": (
        torchvision_model("shufflenet_v2_x1_0"),
        ["stage2", "stage3"],
        "2+1",
        64,
    ),
    "convnext_tiny": (
        torchvision_model("convnext_tiny"),
        ["features.1", "features.3", "features.5"],
        "2+1+n",
        64,
    ),
    "swin_t": (
        torchvision_model("swin_t"),
        ["features.1", "features.3", "features.5"],
        "2+1+n",
        64,
    ),
    "vit_b_16": (
        torchvision_model("vit_b_16", image_size=64),
        ["encoder.layers.encoder_layer_2", "encoder.layers.encoder_layer_8"],
        "n+n",
        64,
    ),
}
FAST = {"skips", "squeezenet1_1"}


def cases(precisions: tuple[str, ...]) -> list[object]:
    return [
        pytest.param(
            name,
            precision,
            id=f"{name}-{precision}",
            marks=[] if (name, precision) == ("skips", "fp32") else [pytest.mark.slow],
        )
        for name in CASES
        for precision in precisions
        if precision == "fp32" or name in FAST | {"vit_b_16", "convnext_tiny"}
    ]


def trained(net: MultiExitNet, images: Tensor) -> MultiExitNet:
    """Give batch norm the images' own statistics, and the exits logits that differ by image."""
    heads = _last_linear_layers(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    for head in heads.values():
        nn.init.normal_(head.weight, std=0.05)  # torchvision's transformer starts from zeros
    with torch.no_grad():
        net.train()(images)
        all_logits = net.eval()(images)
        for name, head in heads.items():
            logits = all_logits[name]
            scale = 4 / float(logits.std(dim=0).mean())
            head.weight.mul_(scale)
            head.bias.sub_(logits.mean(dim=0)).mul_(scale)
    return net


def _last_linear_layers(net: MultiExitNet) -> dict[str, nn.Linear]:
    """Return the linear layer that each exit ends in, but for SqueezeNet's, which has none."""
    classifiers = {**dict(net.branches.named_children()), FINAL: net.backbone.classifier}
    layers = {
        name: [module for module in classifier.modules() if isinstance(module, nn.Linear)]
        for name, classifier in classifiers.items()
    }
    return {name: linear[-1] for name, linear in layers.items() if linear}


@pytest.mark.parametrize(("name", "precision"), cases(("fp32", "fp16")))
def test_the_runtime_agrees_at_mixed_thresholds(name: str, precision: str, tmp_path: Path) -> None:
    build, exits, branches, pixels = CASES[name]
    torch.manual_seed(0)
    model = build()
    size = (3, pixels, pixels)
    images = torch.randn(SAMPLES, *size, generator=torch.Generator().manual_seed(1))
    net = trained(attach_exits(model, exits, branches=branches, input_size=size), images)
    with torch.no_grad():
        logits = {exit_: value.double() for exit_, value in net(images).items()}
    confidences = np.stack([value.softmax(1).amax(1).numpy() for value in logits.values()], 1)
    thresholds = {
        exit_: _between(confidences[:, number]) for number, exit_ in enumerate(list(logits)[:-1])
    }
    checkpoint = Checkpoint(
        net.spec,
        net.state_dict(),
        Preprocessing(size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        tuple(str(number) for number in range(CLASSES)),
        thresholds,
        DataConfig("none"),
        {},
        {},
    )
    # the heads are scaled up until confidences spread, and with them the rounding of FP16
    floor = PRECISIONS[precision].min_agreement if precision == "fp32" else 0.8
    options = ExportOptions(replace(PRECISIONS[precision], min_agreement=floor), baseline=False)
    export_bundle(
        checkpoint, tmp_path / "out", options, images.numpy(), "random images", model=model
    )
    gammas = np.array([*thresholds.values(), 0.0])
    expected = (confidences >= gammas).argmax(axis=1)
    with ee.load(tmp_path / "out") as session:
        for batch in (SAMPLES, 1):
            results = [
                session.infer(images[start : start + batch].numpy())
                for start in range(0, SAMPLES, batch)
            ]
            got = np.concatenate([result.exits for result in results])
            labels = np.concatenate([result.labels for result in results])
            assert len(set(got)) == len(exits) + 1, "every exit is used"
            same = got == expected
            # FP16 may move a sample over a threshold, and nothing else
            assert same.mean() >= (1.0 if precision == "fp32" else 0.8)
            wanted = [
                int(list(logits.values())[exit_][row].argmax()) for row, exit_ in enumerate(got)
            ]
            assert (labels == wanted).mean() >= (1.0 if precision == "fp32" else 0.95)


def _between(confidences: NDArray[np.float64]) -> float:
    """Return a threshold that about a third reach, in the widest gap around there."""
    ordered = np.sort(confidences)
    middle = range(len(ordered) // 2, len(ordered) * 5 // 6)
    widest = max(middle, key=lambda number: float(ordered[number] - ordered[number - 1]))
    return float((ordered[widest] + ordered[widest - 1]) / 2)
