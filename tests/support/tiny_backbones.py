"""Registered backbones of one convolution per stage, for checkpoints of a few kilobytes."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from edgeexit.models import register_backbone
from edgeexit.models.backbone import Backbone, chained

SIZE = (3, 8, 8)


@register_backbone(input_size=SIZE)
def three_convolutions(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return _stages((3, 12, 16, 24), num_classes)


@register_backbone(input_size=SIZE)
def five_convolutions(num_classes: int, input_size: tuple[int, int, int]) -> Backbone:
    return _stages((3, 12, 12, 16, 16, 24), num_classes)


def _stages(widths: tuple[int, ...], num_classes: int) -> Backbone:
    """Make one convolution per stage, with a branch behind each but the last."""
    bodies: OrderedDict[str, nn.Module] = OrderedDict()
    for place, (before, after) in enumerate(pairwise(widths), 1):
        stride = 1 + (after > before > 3)
        convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        bodies[f"stage{place}"] = nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())
    classifier = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], num_classes)
    )
    return Backbone(chained(bodies), classifier, exit_stages=tuple(bodies)[:-1])
