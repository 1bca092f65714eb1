"""Where ``auto`` puts exits on networks of different kinds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgeexit.models import attach_exits
from edgeexit.models.attach import inspect_points

SIZE = (3, 32, 32)


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs))


class Classifier(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 5)

    def classify(self, x: Tensor) -> Tensor:  # (N, L, C)
        logits: Tensor = self.head(x.mean(1))
        return logits


class Mix(nn.Module):
    """An MLP with a skip over it on tokens (N, L, C), or features with channels last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = x + self.down(self.up(x).relu())
        return mixed


class Subsample(nn.Module):
    """Keeps every fourth token, and widens it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        widened: Tensor = self.linear(x[:, ::4])
        return widened


class ShrinkingTokens(Classifier):
    """As LeViT: tokens become fewer, and no feature map is left to tell by."""

    def __init__(self) -> None:
        super().__init__(32)
        self.stem = conv(3, 8, 2)
        self.stages = nn.Sequential(
            nn.Sequential(Mix(8), Mix(8)),
            nn.Sequential(Subsample(8), Mix(16), Mix(16)),
            nn.Sequential(Subsample(16), Mix(32)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.stages(self.stem(x).flatten(2).transpose(1, 2)))


class Merge(nn.Module):
    """Four neighbours become one, channels last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.pixel_unshuffle(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        merged: Tensor = self.linear(self.norm(x))
        return merged


class ChannelsLast(Classifier):
    """As Swin: what makes the first features is a module further out than the stages."""

    def __init__(self) -> None:
        super().__init__(32)
        self.embed = nn.Conv2d(3, 8, 2, 2)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Mix(8), Mix(8)),
                nn.Sequential(Merge(8), Mix(16), Mix(16)),
                nn.Sequential(Merge(16), Mix(32)),
            ]
        )
        self.norm = nn.LayerNorm(32)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).permute(0, 2, 3, 1)
        for stage in self.stages:
            x = stage(x)
        return self.classify(self.norm(x).flatten(1, 2))


class StemAndTokens(Classifier):
    """Small feature maps at first, and one resolution, with a class token, behind them."""

    def __init__(self) -> None:
        super().__init__(32)
        self.stem = nn.Sequential(conv(3, 4, 2), conv(4, 32, 2))
        self.token = nn.Parameter(torch.randn(1, 1, 32))
        self.blocks = nn.Sequential(*(Mix(32) for _ in range(8)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.classify(self.blocks(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)))


class SideBySide(Classifier):
    """As HRNet: streams of two resolutions from the stem to the end."""

    def __init__(self) -> None:
        super().__init__(16)
        self.stem = conv(3, 8, 2)
        self.split = conv(8, 16, 2)
        self.fine = nn.ModuleList(conv(8, 8) for _ in range(4))
        self.coarse = nn.ModuleList(conv(16, 16) for _ in range(4))
        self.down = nn.ModuleList(conv(8, 16, 2) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x)
        coarse = self.split(fine)
        for on, low, down in zip(self.fine, self.coarse, self.down, strict=True):
            fine = on(fine)
            coarse = low(coarse) + down(fine)
        return self.classify(coarse.flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (ShrinkingTokens, ("stages.0", "stages.1")),
        (ChannelsLast, ("stages.0", "stages.1")),
        (StemAndTokens, ("blocks.1", "blocks.3", "blocks.5")),
    ],
)
def test_where_one_tensor_leads_on(build: type[nn.Module], expected: tuple[str, ...]) -> None:
    pattern = "+".join("n" * len(expected))
    net = attach_exits(build().eval(), branches=pattern, input_size=SIZE)
    assert net.spec.points == expected
    assert len(net(torch.zeros(2, *SIZE))) == len(expected) + 1


def test_where_streams_run_side_by_side_several_tensors_cross() -> None:
    model = SideBySide().eval()
    points = {point.name: point for point in inspect_points(model, SIZE)}
    net = attach_exits(model, branches="n+n+n", input_size=SIZE)
    chosen = [points[name] for name in net.spec.points]
    assert {point.crossing for point in chosen} == {2}
    shares = [point.macs_share for point in chosen]
    assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.125)
    assert len(net(torch.zeros(2, *SIZE))) == 4


class SharedTable(Classifier):
    """Blocks that read one table, which is no weight: parts may have it each for themselves."""

    def __init__(self, weight: bool) -> None:
        super().__init__(16)
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.blocks = nn.ModuleList(Mix(16) for _ in range(4))
        table = torch.randn(16, 16)
        if weight:
            self.table = nn.Parameter(table)
        else:
            self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x + self.table.sin())
        return self.classify(x)


def test_a_table_that_blocks_share_is_in_each_part() -> None:
    model = SharedTable(weight=False).eval()
    net = attach_exits(model, branches="n+n+n", input_size=SIZE)
    images = torch.randn(2, *SIZE)
    torch.testing.assert_close(net(images)["final"], model(images))


def test_no_place_is_listed_where_a_weight_is_used_on_both_sides() -> None:
    names = [point.name for point in inspect_points(SharedTable(weight=True), SIZE)]
    assert not [name for name in names if name in ("blocks.0", "blocks.1", "blocks.2")]


class TwoHeads(SideBySide):
    """As CrossViT: both streams have a classifier, and the answer is their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x)
        coarse = self.split(fine)
        for on, low, down in zip(self.fine, self.coarse, self.down, strict=True):
            fine = on(fine)
            coarse = low(coarse) + down(fine)
        answers = [self.other(fine.mean((2, 3))), self.classify(coarse.flatten(2).transpose(1, 2))]
        return torch.stack(answers).mean(0)


def test_the_last_classifier_may_read_several_streams() -> None:
    model = TwoHeads().eval()
    net = attach_exits(model, ["fine.1"], branches="n", input_size=SIZE)
    images = torch.randn(2, *SIZE)
    torch.testing.assert_close(net(images)["final"], model(images))
