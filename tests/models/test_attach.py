"""Exits on classifiers that know nothing of exits."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from support.parts import chained_logits
from torch import Tensor, nn

from edgeexit.errors import SpecError
from edgeexit.models.attach import attach_exits, attach_spec
from edgeexit.models.mode import in_mode
from edgeexit.models.multi_exit import MultiExitNet, make_spec
from edgeexit.models.partition import partition

SIZE = (3, 16, 16)


def convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride, 1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


class Chain(nn.Module):
    """One tensor between any two layers, and dropout by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(3, 8)
        self.second = convolution(8, 12, stride=2)
        self.third = convolution(12, 16, stride=2)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.second(self.first(x)), 0.3, self.training)
        logits: Tensor = self.head(self.third(x).mean((2, 3)))
        return logits


class Skips(Chain):
    """Early features are read again late, sizes too, and pieces of a split tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.third = convolution(20, 16, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        first = self.first(x)
        low, high = self.second(first).chunk(2, dim=1)
        pooled = F.avg_pool2d(first, 2)
        both = torch.cat([pooled, low, high], dim=1)
        logits: Tensor = self.head(self.third(both).mean((2, 3)).view(batch, -1))
        return logits


class Overwrites(Chain):
    """What the first layer gave is overwritten by the next, in three ways."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first[:2](x)
        x = F.relu(x, inplace=True)
        x = self.second[0](x)
        x += 1
        x = self.second[1](x).mul_(2.0)
        x = self.third[:2](self.second[2](x))
        logits: Tensor = self.head(self.third[2](x).mean((2, 3)))
        return logits


class ReadsOverwritten(nn.Module):
    """An in-place ReLU changes what a later layer reads by its old name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.second(self.relu(x))
        logits: Tensor = self.head(self.third(torch.cat([x, y], 1)).mean((2, 3)))
        return logits


class AsksForSizes(Chain):
    """Control flow on sizes, which torch.fx cannot follow and torch.export can."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 4:
            x = F.pad(x, (0, 1, 0, 1))
        return super().forward(x)


class TakesMore(Chain):
    """Arguments with defaults, and a constant that is made on the way."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            x = x * mask
        return super().forward(x * torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1))


class Updates(Chain):
    """A running mean of its own, which forward updates, and an attribute that it sets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        if self.training:
            self.seen.mul_(0.9).add_(0.1 * first.detach().mean((0, 2, 3)))
        x = self.second(first - self.seen.view(-1, 1, 1))
        self.last = x.detach()
        logits: Tensor = self.head(self.third(x).mean((2, 3)))
        return logits


class ChannelsLast(nn.Module):
    """Features (N, height, width, channels), as in Swin transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.mix = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
        self.more = nn.Sequential(nn.Linear(8, 8), nn.GELU())
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.more(self.mix(self.embed(x).permute(0, 2, 3, 1)))
        logits: Tensor = self.head(x.mean((1, 2)))
        return logits


class Tokens(nn.Module):
    """A vision transformer in small."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True) for _ in range(3)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x[:, 0])
        return logits


CASES: dict[str, tuple[Callable[[], nn.Module], list[str], str]] = {
    "chain": (Chain, ["first", "second"], "2+1"),
    "skips": (Skips, ["first", "second"], "n+1"),
    "overwrites": (Overwrites, ["first.1", "second.0"], "1+1"),
    "overwrites elsewhere": (Overwrites, ["second.1", "third.1"], "1+1"),
    "reads overwritten": (ReadsOverwritten, ["first", "second"], "n+n"),
    "asks for sizes": (AsksForSizes, ["first", "second"], "1+1"),
    "takes more": (TakesMore, ["first"], "1"),
    "updates": (Updates, ["first", "second"], "1+n"),
    "channels last": (ChannelsLast, ["mix"], "1"),
    "tokens": (Tokens, ["layers.0", "layers.1"], "n+n"),
    "plain": (Chain, [], "none"),
    "resnet18": (
        lambda: torchvision.models.resnet18(num_classes=5),
        ["layer1", "layer2.0.bn1"],
        "1+n",
    ),
}


@pytest.fixture(scope="module", params=CASES)
def attached(request: pytest.FixtureRequest) -> tuple[nn.Module, MultiExitNet]:
    """A model, and the network made of it."""
    build, points, branches = CASES[request.param]
    torch.manual_seed(0)
    model = build()
    size = (3, 64, 64) if request.param == "resnet18" else SIZE
    return model, attach_exits(model, points, branches=branches, input_size=size)


def images_for(net: MultiExitNet, batch: int = 3) -> Tensor:
    return torch.randn(batch, *net.spec.input_size, generator=torch.Generator().manual_seed(1))


def test_final_logits_are_those_of_the_model(attached: tuple[nn.Module, MultiExitNet]) -> None:
    model, net = attached
    for batch in (1, 3):
        with torch.no_grad(), in_mode(model, False), in_mode(net, False):
            images = images_for(net, batch)
            torch.testing.assert_close(net(images)["final"], model(images))


def test_training_mode_is_that_of_the_model(attached: tuple[nn.Module, MultiExitNet]) -> None:
    """Dropout drops and batch norm counts, with the same random numbers."""
    model, net = attached
    kept = copy.deepcopy(model.state_dict())
    results = []
    for network in (model, net.backbone):
        torch.manual_seed(2)
        with in_mode(network, True):
            results.append(network(images_for(net)))
        results.append({name: value.clone() for name, value in model.state_dict().items()})
        model.load_state_dict(kept)
    expected, expected_state, got, state = results
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(state, expected_state)


def test_weights_are_those_of_the_model(attached: tuple[nn.Module, MultiExitNet]) -> None:
    model, net = attached
    own = {id(parameter) for parameter in net.backbone.parameters()}
    assert own == {id(parameter) for parameter in model.parameters()}
    assert {id(b) for b in net.backbone.buffers()} >= {id(b) for b in model.buffers()}

    assert len(net.backbone.state_dict()) == len(model.state_dict())


def test_every_parameter_gets_a_gradient(attached: tuple[nn.Module, MultiExitNet]) -> None:
    _, net = attached
    net.zero_grad()
    with in_mode(net, True):
        sum(logits.square().sum() for logits in net(images_for(net)).values()).backward()  # type: ignore[union-attr]
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_chained_parts_are_the_network(attached: tuple[nn.Module, MultiExitNet]) -> None:
    _, net = attached
    images = images_for(net)
    with torch.no_grad(), in_mode(net, False):
        torch.testing.assert_close(chained_logits(partition(net), images), net(images))


def test_a_second_network_of_the_same_spec_takes_the_weights(
    attached: tuple[nn.Module, MultiExitNet],
) -> None:
    model, net = attached
    twin = attach_spec(copy.deepcopy(model), net.spec)
    twin.load_state_dict(net.state_dict())
    images = images_for(net)
    with torch.no_grad(), in_mode(net, False), in_mode(twin, False):
        torch.testing.assert_close(twin(images), net(images))


def test_attaching_leaves_the_model_as_it_was() -> None:
    for model in (AsksForSizes(), Updates()):
        model.train()
        kept = copy.deepcopy(model.state_dict())
        attributes = [dict(vars(module)) for module in model.modules()]
        attach_exits(model, ["first"], branches="1", input_size=SIZE)
        torch.testing.assert_close(model.state_dict(), kept)
        for module, before in zip(model.modules(), attributes, strict=True):
            before.pop("last", None)  # is set whenever the model runs, as it is for comparison
            assert {name: value for name, value in vars(module).items() if name in before} == before
            assert module.training


def test_what_crosses_a_cut_follows_from_the_graph() -> None:
    net = attach_exits(Skips(), ["second"], branches="n", input_size=SIZE)
    (_, first), (_, second) = net.backbone.named_stages()
    assert first.outputs == ("stage1_out2", "stage1_out") == second.inputs
    assert net.features["stage1_out2"].shape == (8, 16, 16)
    assert net.features["stage1_out"].shape == (12, 8, 8)


def test_channels_last_features_reach_the_branch_as_feature_maps() -> None:
    net = attach_exits(ChannelsLast(), ["mix"], branches="1", input_size=SIZE)
    (_, stage), _ = net.backbone.named_stages()
    assert stage.outputs == ("stage1_out", "stage1_nchw")
    assert net.features["stage1_out"].shape == (4, 4, 8)
    assert net.features["stage1_nchw"].shape == (8, 4, 4)
    assert net.exit_inputs("exit1") == ("stage1_nchw",)


@pytest.mark.parametrize("exits", [{"exit1": "first", "exit2": "second"}, " first, second "])
def test_exits_by_name_and_the_spec_that_is_stored(exits: dict[str, str] | str) -> None:
    net = attach_exits(Chain(), exits, branches="2+1", input_size=SIZE)
    assert net.spec.points == ("first", "second")
    assert net.spec.pattern == "2+1"
    assert net.spec.num_classes == 5
    assert not net.spec.is_registered
    assert net.spec.backbone.endswith(":Chain")


def test_auto_takes_the_ends_of_the_resolutions() -> None:
    model = torchvision.models.mobilenet_v3_small(num_classes=5)
    net = attach_exits(model, "auto", branches="3+2+1", input_size=(3, 128, 128))
    assert net.spec.points == ("features.1", "features.3", "features.8")


class Branching(Chain):
    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 0:
            x = x + 1
        return super().forward(x)


class Auxiliary(Chain):
    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return [logits, logits] if self.training else logits  # type: ignore[return-value]


class SharedWeights(Chain):
    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Conv2d(8, 16, 3)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(F.relu(self.second(self.first(x))))
        logits: Tensor = self.head(self.third(x).mean((2, 3)))
        return logits


class AssignsSlice(Chain):
    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        first[:, 0] = 0
        logits: Tensor = self.head(self.third(self.second(first)).mean((2, 3)))
        return logits


class ScalesView(Chain):
    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        half = first[:, :4]
        half.mul_(2.0)
        logits: Tensor = self.head(self.third(self.second(first)).mean((2, 3)))
        return logits


class Aside(Chain):
    """The transposed copy is read late, so that it crosses every cut in between."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        aside = first.transpose(0, 1)
        x = self.second(first + aside.mean())
        x = self.third(x) + aside.mean()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class ShrinksInTraining(Chain):
    def __init__(self) -> None:
        super().__init__()
        self.first = Shrinks()


class Shrinks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, 0, 0, 5))  # to 8 channels
        return F.avg_pool2d(x, 2) if self.training else x


class OverwritesUnseen(Chain):
    """No trace says that this function changes its input."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.clamp_(self.second(self.first(x)), max=0.1)
        logits: Tensor = self.head(self.third(x).mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("build", "points", "branches", "message"),
    [
        (Chain, ["fist"], "1", "no cut at 'fist': it is no module of the model; nearest are first"),
        (Chain, ["head"], "1", "no cut at 'head': it gives nothing that a branch could read;"),
        (Chain, ["second", "first"], "1+1", "second is behind first; give different points in the"),
        (Chain, ["first", "first.2"], "1+1", "first is the same place as first.2; give different"),
        (Chain, ["first"], "1+1", "expected one for each of the 1 points (first), got 2"),
        (Chain, {"exit2": "first"}, "1", "exits: expected the names exit1 in this order, got exit"),
        (
            Branching,
            ["first"],
            "1",
            "cannot be run on 2 images of (3, 16, 16) without their values:",
        ),
        (Auxiliary, ["first"], "1", "Auxiliary in training mode: expected one tensor of logits (N"),
        (SharedWeights, ["second"], "n", "the weight second.weight is used by stage1 and by stage"),
        (Aside, ["second"], "n", "crosses it and its first dimension is not the batch; choose an"),
        (AssignsSlice, ["first"], "n", "the model overwrites a part of a tensor ("),
        (ScalesView, ["first"], "n", "the model overwrites a part of a tensor (mul_ on getitem),"),
        (
            ShrinksInTraining,
            ["first"],
            "n",
            "crossed by {'stage1_out': (2, 8, 8, 8)} in training and by {'stage1_out': (2, 8, 16,",
        ),
        (OverwritesUnseen, ["second"], "n", "cut at second: a later part overwrites stage1_out,"),
        (
            lambda: Chain().half(),
            ["first"],
            "n",
            "Chain: expected weights in float32, got float16;",
        ),
        (
            lambda: nn.DataParallel(Chain()),
            ["first"],
            "n",
            "expected a plain model, give its .modul",
        ),
        (
            lambda: torch.compile(Chain()),
            ["first"],
            "n",
            "a plain model, give the model before torc",
        ),
        (nn.Flatten, ["first"], "n", "no cut at 'first': no module of the model gives features"),
        (Tokens, ["layers.0"], "1", "got shape (17, 8); a naive branch, n, reads tokens too"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_what_cannot_be_cut_says_why(
    build: Callable[[], nn.Module],
    points: list[str] | dict[str, str],
    branches: str,
    message: str,
) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        attach_exits(build(), points, branches=branches, input_size=SIZE)
    assert "\n" not in str(caught.value)


def test_other_number_of_classes() -> None:
    with pytest.raises(SpecError, match="expected a model with logits of 7 classes, got 5; build"):
        attach_exits(Chain(), ["first"], branches="1", input_size=SIZE, num_classes=7)


@pytest.mark.parametrize(
    "build",
    [
        lambda: attach_exits(
            torchvision.models.squeezenet1_1(), branches="n", input_size=(3, 4, 4)
        ),
        lambda: MultiExitNet(make_spec("vgg16_bn_cifar", "none", 10, (3, 8, 8))),
    ],
    ids=["attached", "registered"],
)
def test_too_small_images_are_told_in_one_error_and_not_in_torchs_log(
    build: Callable[[], object],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = logging.getLogger("torch._subclasses.fake_tensor")
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    with pytest.raises(SpecError, match=r"cannot (be run on 2|read) images of \(3, [48], [48]\)"):
        build()
    assert not caplog.records
    assert not log.disabled
