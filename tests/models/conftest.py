"""The registry drives the tests: a new backbone is tested the moment it exists."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from edgeexit.models import ModelSpec, MultiExitNet, list_backbones, make_spec
from edgeexit.models.registry import backbone_entry

# kin of one that is tested always: deeper, or as VGG-16 with hundreds of millions of weights
SLOW = {
    *("resnet32", "resnet44", "resnet56", "resnet110", "se_resnet56", "resnet34", "resnet50"),
    *("vgg16", "vgg16_bn", "googlenet", "mobilenet_v2", "msdnet_imagenet"),
}
# members of the other families are tested always with one pattern, and with the others when slow
EVERY_PATTERN = {"resnet20", "resnet18"}
SMALL = {32: 16, 224: 64}  # the pixels that each family is tested with, for speed
NOT_SMALLER = {"vgg16_bn_cifar"}  # its five poolings leave one pixel of 32


def small_size(backbone: str) -> tuple[int, int, int]:
    size = backbone_entry(backbone).input_size
    if backbone in NOT_SMALLER:
        return size
    channels, height, width = size
    return (channels, SMALL.get(height, height), SMALL.get(width, width))


def patterns(backbone: str) -> dict[str, str]:
    """One pattern of each kind: levels that differ, naive, both, and none."""
    entry = backbone_entry(backbone)
    with torch.device("meta"):
        points = len(entry.build(10, entry.input_size).exit_stages)
    return {
        "levels": "+".join(str(level) for level in range(points, 0, -1)),
        "naive": "+".join("n" * points),
        "mixed": "+".join(["n", *"1" * (points - 1)]),
        "none": "none",
    }


def is_slow(backbone: str, kind: str) -> bool:
    return backbone in SLOW or (backbone not in EVERY_PATTERN and kind != "mixed")


def small_specs() -> list[Any]:
    """Every backbone with every kind of pattern, for small images and 10 classes."""
    return [
        pytest.param(
            make_spec(backbone, pattern, 10, small_size(backbone)),
            id=f"{backbone}-{kind}",
            marks=[pytest.mark.slow] if is_slow(backbone, kind) else [],
        )
        for backbone in list_backbones()
        for kind, pattern in patterns(backbone).items()
    ]


@pytest.fixture(params=list_backbones())
def backbone(request: pytest.FixtureRequest) -> str:
    """Every registered backbone."""
    name: str = request.param
    return name


@pytest.fixture(scope="session", params=small_specs())
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    """Every backbone with every kind of pattern."""
    value: ModelSpec = request.param
    return value


@pytest.fixture(scope="session")
def built(spec: ModelSpec) -> MultiExitNet:
    """The network of ``spec``, built once for all tests."""
    torch.manual_seed(0)
    return MultiExitNet(spec)


@pytest.fixture
def net(built: MultiExitNet) -> MultiExitNet:
    """The network of ``spec``, in training mode and without gradients as new networks are."""
    built.zero_grad(set_to_none=True)
    return built.train()


@pytest.fixture(scope="session")
def images(spec: ModelSpec) -> Tensor:
    """Two images of the size that ``spec`` reads."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, *spec.input_size, generator=generator)
