"""Small networks that come with exits of their own, one of each kind that people have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = (3, 16, 16)
CLASSES = 5


def convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


def head(channels: int, classes: int = CLASSES) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class Internal(nn.Module):
    """An SDN: a classifier behind every block, as many as one likes."""

    def __init__(self, blocks: int = 3, width: int = 8, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = convolution(3, width, 2)
        self.blocks = nn.ModuleList(convolution(width, width) for _ in range(blocks))
        self.exits = nn.ModuleList(head(width, classes) for _ in range(blocks - 1))
        self.last = head(width, classes)

    def forward(self, images: Tensor) -> Any:
        x = self.stem(images)
        answers = []
        for block, answer in zip(self.blocks, [*self.exits, self.last], strict=True):
            x = block(x)
            answers.append(answer(x))
        return self.result(answers)

    def result(self, answers: list[Tensor]) -> Any:
        return answers


class FinalFirst(Internal):
    """The final answer first, and features beside it."""

    def result(self, answers: list[Tensor]) -> Any:
        return answers[-1], *answers[:-1], torch.stack(answers)


class Branchy(nn.Module):
    """BranchyNet: branches with convolutions; the batch's size is asked for, so torch.export."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = convolution(3, 8), convolution(8, 12, 2)
        self.branch = nn.Sequential(convolution(8, 16, 2), convolution(16, 16, 2), head(16))
        self.classifier = nn.Linear(12, CLASSES)

    def forward(self, images: Tensor, threshold: float | None = None) -> list[Tensor]:
        if len(images.shape) != 4 or images.shape[-1] % 2:
            raise ValueError(images.shape)
        x = self.first(images)
        pooled = F.adaptive_max_pool2d(self.second(x), 1)
        return [self.branch(x), self.classifier(pooled.view(len(images.shape) - 3, -1, 12)[0])]


class Scales(nn.Module):
    """MSDNet: two scales, of which a block reads both and a classifier the coarse one."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.fine = nn.ModuleList([convolution(3, 6), convolution(6, 6), convolution(6, 6)])
        self.coarse = nn.ModuleList(
            [convolution(6, 8, 2), convolution(8, 8), convolution(14, 8), convolution(14, 8)]
        )
        self.down = nn.ModuleList([convolution(6, 6, 2), convolution(6, 6, 2)])
        self.classifiers = nn.ModuleList(
            nn.Sequential(
                convolution(8, 8, 2), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8, classes)
            )
            for _ in range(3)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        fine = self.fine[0](images)
        coarse = self.coarse[1](self.coarse[0](fine))
        answers = [self.classifiers[0](coarse)]
        for number in (0, 1):
            fine = self.fine[number + 1](fine)
            coarse = self.coarse[number + 2](torch.cat([self.down[number](fine), coarse], 1))
            answers.append(self.classifiers[number + 1](coarse))
        return answers


class Cascade(Internal):
    """ZTW: each exit reads the logits of the one before; the last answer averages all."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__(classes=classes)
        self.mix = nn.Linear(2 * classes, classes)

    def result(self, answers: list[Tensor]) -> Any:
        first, second, third = answers
        second = self.mix(torch.cat([first, second], 1))
        return {"exits": [first, second], "out": (first + second + third) / 3}


class Aside(Internal):
    """The second exit reads the first one's logits and features, which the final one does not."""

    def __init__(self) -> None:
        super().__init__()
        self.side = convolution(8, 8)
        self.more = nn.Linear(CLASSES, CLASSES)

    def forward(self, images: Tensor) -> Any:
        x = self.stem(images)
        side = self.side(x)
        first = self.exits[0](side)
        x = self.blocks[0](x)
        second = self.exits[1](x + side) + self.more(first)
        return first, second, self.last(self.blocks[1](x))


class Early(Internal):
    """The second exit reads a tensor of the first stage, and the images."""

    def __init__(self) -> None:
        super().__init__()
        self.grey = nn.Conv2d(3, 8, 1, 2)

    def forward(self, images: Tensor) -> Any:
        early = self.stem(images)
        first = self.exits[0](early)
        x = self.blocks[0](early)
        second = self.exits[1](x + early)
        return first, second, self.last(self.blocks[1](x) + early + self.grey(images))


class Pixel(Internal):
    """The final classifier reads a map of one pixel, through an adaptive maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Conv2d(8, CLASSES, 1), nn.Flatten())


class LateSize(Internal):
    """Early logits take the number of images from a late tensor."""

    def forward(self, images: Tensor) -> Any:
        features = [self.stem(images)]
        for block in self.blocks:
            features.append(block(features[-1]))
        count = features[-1].size(0)
        heads = [*self.exits, self.last]
        return [
            answer[2](answer[0](x).view(count, -1))
            for x, answer in zip(features[1:], heads, strict=True)
        ][::-1]


class Softmaxed(Internal):
    """Probabilities in evaluation mode, logits in training mode; the last is a log-softmax."""

    def result(self, answers: list[Tensor]) -> Any:
        if self.training:
            return answers
        first, second, third = answers
        return torch.softmax(first, dim=1), second.softmax(1), F.log_softmax(third, dim=-1)


class Stacked(Internal):
    """The logits of all exits in one tensor (M, N, K)."""

    def result(self, answers: list[Tensor]) -> Any:
        return torch.stack(answers)


class StackedBehind(Branchy):
    """Beside others, (N, M, K); by torch.export."""

    def forward(self, images: Tensor, threshold: float | None = None) -> Any:
        return {"exits": torch.stack(super().forward(images), dim=-2), "features": images}


@dataclass
class Answers:
    logits: Tensor
    hidden: list[Tensor]


class AsDataclass(Internal):
    def result(self, answers: list[Tensor]) -> Any:
        return Answers(answers[-1], answers[:-1])


class Pair(NamedTuple):
    early: Tensor
    late: Tensor


class AsNamedTuple(Internal):
    def result(self, answers: list[Tensor]) -> Any:
        return Pair(answers[0], answers[-1])


class Shared(Internal):
    """All exits have the same classifier."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__(classes=classes)
        self.exits = nn.ModuleList([self.last, self.last])


class Drops(Internal):
    """Dropout by a function, in the trunk and in the branches, and none of it under gradients."""

    def forward(self, images: Tensor) -> Any:
        with torch.no_grad():
            x = self.stem(images)
        answers = []
        for block, answer in zip(self.blocks, [*self.exits, self.last], strict=True):
            x = F.dropout(block(x), 0.2, self.training)
            answers.append(answer(F.dropout(x, 0.5, self.training)))
        return answers


class NoGradients(Branchy):
    """What torch.export would hide in one node."""

    def forward(self, images: Tensor, threshold: float | None = None) -> list[Tensor]:
        with torch.no_grad():
            return super().forward(images, threshold)


class OwnGradients(Branchy):
    """Gradients in training mode alone, whatever is around it: two nodes for torch.export."""

    def forward(self, images: Tensor, threshold: float | None = None) -> list[Tensor]:
        with torch.set_grad_enabled(self.training):
            return super().forward(images, threshold)


class Beside(Internal):
    """IMTA: in training mode the exits are one of two results."""

    def result(self, answers: list[Tensor]) -> Any:
        return (answers, answers[-1] * 2) if self.training else answers


ALL: dict[str, tuple[type[nn.Module], str]] = {
    "SDN": (Internal, "0,1,2"),
    "final first": (FinalFirst, "1,2,0"),
    "BranchyNet": (Branchy, "0,1"),
    "MSDNet": (Scales, "0,1,2"),
    "cascade": (Cascade, "exits.0,exits.1,out"),
    "aside": (Aside, "0,1,2"),
    "early features": (Early, "0,1,2"),
    "one pixel": (Pixel, "0,1,2"),
    "size of a late tensor": (LateSize, "2,1,0"),
    "softmax": (Softmaxed, "0,1,2"),
    "stacked": (Stacked, "0.0,0.1,0.2"),
    "stacked behind the images": (StackedBehind, "exits.:.0,exits.:.1"),
    "dataclass": (AsDataclass, "hidden.0,hidden.1,logits"),
    "named tuple": (AsNamedTuple, "early,late"),
    "shared classifier": (Shared, "0,1,2"),
    "dropout": (Drops, "0,1,2"),
    "no gradients": (NoGradients, "0,1"),
    "gradients in training": (OwnGradients, "0,1"),
    "more in training": (Beside, "0,1,2"),
}
"""Networks by what is special about them, with their outputs in the order of execution."""
