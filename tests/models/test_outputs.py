"""Models with exits of their own, split into stages and the branches that they came with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.messages import refused
from support.own_exits import (
    ALL,
    CLASSES,
    SIZE,
    Aside,
    Branchy,
    Cascade,
    Drops,
    FinalFirst,
    Internal,
    Softmaxed,
    Stacked,
    convolution,
    head,
)
from support.parts import chained_logits
from torch import Tensor, nn

from edgeexit.cost import network_cost
from edgeexit.errors import SpecError
from edgeexit.models.attach import attach_exits
from edgeexit.models.mode import in_mode
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.outputs import from_outputs, network_of, ordered_outputs
from edgeexit.models.partition import partition
from edgeexit.models.tracing.outputs import list_outputs
from edgeexit.models.tracing.results import named_result, named_results


def images(batch: int = 3) -> Tensor:
    return torch.randn(batch, *SIZE, generator=torch.Generator().manual_seed(7 + batch))


@pytest.fixture(params=ALL, scope="module")
def made(request: pytest.FixtureRequest) -> tuple[str, nn.Module, MultiExitNet]:
    """Every kind of network that comes with exits, and what is made of it."""
    torch.manual_seed(0)
    build, outputs = ALL[request.param]
    model = build().eval()
    return request.param, model, from_outputs(model, input_size=SIZE, outputs=outputs)


@pytest.fixture
def kind(made: tuple[str, nn.Module, MultiExitNet]) -> str:
    return made[0]


@pytest.fixture
def model(made: tuple[str, nn.Module, MultiExitNet]) -> nn.Module:
    return made[1]


@pytest.fixture
def net(made: tuple[str, nn.Module, MultiExitNet]) -> MultiExitNet:
    return made[2].eval()


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_chained_parts_give_what_the_model_gives(
    kind: str, model: nn.Module, net: MultiExitNet, batch: int
) -> None:
    x, parts = images(batch), partition(net)
    answers = chained_logits(parts, x.clone())
    with torch.no_grad():
        expected = named_results(model(x.clone()))
        (plain,) = parts.baseline.module(x.clone())
    for (name, answer), output in zip(answers.items(), net.spec.outputs, strict=True):
        if kind == "softmax" and name != "final":
            answer = answer.softmax(1)
        torch.testing.assert_close(answer, named_result(expected, output), rtol=0, atol=1e-6)
    torch.testing.assert_close(plain, answers["final"], rtol=0, atol=0)


def test_every_exit_adds_a_stage_with_a_branch_of_its_own(kind: str, net: MultiExitNet) -> None:
    assert net.spec.outputs == tuple(ALL[kind][1].split(","))
    assert net.spec.pattern == "+".join(["own"] * (len(net.spec.outputs) - 1))
    assert len(partition(net).stages) == len(net.spec.outputs)
    cost = network_cost(net)
    assert len(cost.stages) == len(net.spec.outputs)
    assert cost.exits[-1].name == "final"
    assert cost.baseline_macs <= cost.exits[-1].macs


def test_the_parts_share_the_weights_of_the_model(model: nn.Module, net: MultiExitNet) -> None:
    own = {id(weight) for weight in model.parameters()}
    assert {id(weight) for weight in net.parameters()} <= own


def test_it_is_split_again_from_its_specification(
    model: nn.Module, net: MultiExitNet, kind: str
) -> None:
    twin = network_of(copy.deepcopy(model), net.spec)
    assert twin.spec == net.spec
    twin.load_state_dict(net.state_dict())
    with torch.no_grad():
        for name, logits in twin.eval()(images()).items():
            assert torch.equal(logits, net(images())[name])


def test_every_weight_that_the_exits_read_learns(net: MultiExitNet) -> None:
    net.train()
    net.zero_grad(set_to_none=True)
    loss = sum(logits.square().mean() for logits in net(images(4)).values())
    assert isinstance(loss, Tensor)
    loss.backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_training_mode_is_the_models_own() -> None:
    torch.manual_seed(0)
    model = Drops()
    net = from_outputs(model, input_size=SIZE)
    assert net.training
    twin = copy.deepcopy(model).train()
    x = images(4)
    torch.manual_seed(3)
    first = net(x)["exit1"]
    torch.manual_seed(3)
    second = net(x)["exit1"]
    assert torch.equal(first, second)
    assert not torch.equal(first, net(x)["exit1"])  # dropout
    with in_mode(twin, False):
        assert not torch.equal(first, twin(x)[0])


def test_what_serves_an_early_exit_alone_is_no_cost_of_the_backbone() -> None:
    cost = network_cost(from_outputs(Aside(), input_size=SIZE))
    side = 8 * 8 * 9 * 64
    assert cost.exits[-1].macs - cost.baseline_macs == side + CLASSES * 8


def test_logits_that_later_exits_read_leave_an_empty_branch() -> None:
    net = from_outputs(Cascade(), input_size=SIZE, outputs="exits.0,exits.1,out")
    cost = network_cost(net)
    assert [exit_.branch_macs for exit_ in cost.exits] == [0, 0, 0 + CLASSES * 8]
    assert net.exit_inputs("final") == ("stage1_out2", "stage2_out2", "stage3_out")
    stages = {part.name: [info.name for info in part.outputs] for part in partition(net).stages}
    assert "stage1_out2" in stages["stage1"]
    assert "stage2_out2" in stages["stage2"]


def test_many_exits() -> None:
    net = from_outputs(Internal(blocks=14), input_size=SIZE)
    assert net.spec.exit_names[-2:] == ("exit13", "final")


def test_in_place_layers_do_not_change_what_a_branch_reads() -> None:
    class Overwrites(Internal):
        def forward(self, x: Tensor) -> Any:
            x = self.stem(x)
            first = self.exits[0](x)
            x = self.blocks[0](F.relu(x.neg_(), inplace=True))
            return first, self.last(x)

    net = from_outputs(Overwrites(), input_size=SIZE)
    assert net.exit_inputs("exit1") == ("stage1_out",)


def test_no_batch_norm_statistics_move_while_it_is_made() -> None:
    model = Internal()
    before = copy.deepcopy(model.state_dict())
    from_outputs(model, input_size=SIZE)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert "forward" not in vars(model)


def test_outputs_are_listed_with_those_that_are_logits() -> None:
    found = {output.name: output for output in list_outputs(FinalFirst(), SIZE)}
    assert list(found) == ["0", "1", "2", "3"]
    assert [output.is_logits for output in found.values()] == [True, True, True, False]
    assert found["3"].shape == (3, 2, CLASSES)


def test_exits_in_one_tensor() -> None:
    names = [output.name for output in list_outputs(Stacked(), SIZE) if output.is_logits]
    assert names == ["0.0", "0.1", "0.2"]
    assert from_outputs(Stacked(), input_size=SIZE).spec.outputs == tuple(names)


def test_softmax_at_the_end_is_taken_off_and_said() -> None:
    net = from_outputs(Softmaxed(), input_size=SIZE)
    notes = " ".join(net.notes)
    assert "output 0 ends in a softmax" in notes
    assert "output 1 ends in a softmax" in notes
    assert "output 2 ends in a log-softmax" in notes


def test_order_of_exits_that_is_proposed() -> None:
    assert ordered_outputs(FinalFirst(), SIZE) == ("1", "2", "0")
    assert from_outputs(Auxiliary(), input_size=SIZE, outputs="1,0").spec.outputs == ("1", "0")


class Auxiliary(Branchy):
    """The early answer reads less than the final one, and comes behind it."""

    def forward(self, x: Tensor, threshold: float | None = None) -> Any:
        x = self.first(x)
        early = F.pad(x.mean((2, 3)), (0, 4))
        return self.classifier(self.second(x).mean((2, 3))), self.classifier(early)


class Returns(Internal):
    """Something else than logits, as ``what`` says."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def result(self, answers: list[Tensor]) -> Any:
        first, second, third = answers
        if self.what == "chosen" and first.softmax(1).max() > 0.9:
            return answers[:1]
        return {
            "one": lambda: {"out": third},
            "widths": lambda: (first[:, :3], second, third),
            "twice": lambda: (first, first, third),
            "probabilities": lambda: (first, second.softmax(1) * 1.0, third),
            "together": lambda: (first - first.mean(0), second, third),
            "random": lambda: (first, F.dropout(second), third),
            "chosen": lambda: answers,
            "numpy": lambda: [torch.from_numpy(answer.detach().numpy()) for answer in answers],
            "less": lambda: answers[:2] if self.training else answers,
            "softmax of all": lambda: torch.stack(answers).softmax(-1),
        }[self.what]()


class NoStatistics(Internal):
    def __init__(self) -> None:
        super().__init__()
        self.blocks[1][1] = nn.BatchNorm2d(8, track_running_stats=False)


class Pairs(Internal):
    def forward(self, x: Tensor, y: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x + y)


class Windows(nn.Module):
    """What crosses the cut is no batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix = convolution(3, 8, 2), nn.Linear(8, 8)
        self.first, self.last = head(8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Any:
        n = x.shape[0]
        x = self.stem(x)
        rows = x.permute(0, 2, 3, 1).reshape(-1, 8)
        first = self.first(rows.view(n, 8, 8, 8).permute(0, 3, 1, 2))
        return first, self.last(self.mix(rows).view(n, 64, 8).mean(1))


EVERY_EXIT = "give a module that returns every exit"


@pytest.mark.parametrize(
    ("build", "outputs", "facts"),
    [
        (FinalFirst, "0,1,2", ("output 1 adds no stage", "1,2,0")),
        (Auxiliary, "auto", ("1,0",)),
        (ALL["dataclass"][0], "hiden.0,logits", ("'hiden.0'", "did you mean hidden.0")),
        (FinalFirst, "1,3", ("3 (3, 2, 5)",)),
        (FinalFirst, "1,1", ("twice",)),
        (Internal, "7,0", ("'7'; there are 0 (2, 5)",)),
        (lambda: Returns("one"), "auto", ("out (2, 5)",)),
        (lambda: Returns("widths"), "auto", ("0 (2, 3), 1 (2, 5), 2 (2, 5)",)),
        (lambda: Returns("twice"), "auto", ("0 and 1 are the same tensor",)),
        (lambda: Returns("probabilities"), "auto", ("output 1", "logarithm")),
        (lambda: Returns("together"), "auto", ("output 0", "images beside it", "batch of 5")),
        (NoStatistics, "auto", ("blocks.1.1", "track_running_stats=True")),
        (lambda: Returns("random"), "auto", ("output 1 is random",)),
        (
            lambda: Returns("chosen"),
            "auto",
            ("test_outputs.py:", "first.softmax(1).max() > 0.9", EVERY_EXIT),
        ),
        (lambda: Returns("numpy"), "auto", (".numpy()", EVERY_EXIT)),
        (Pairs, "auto", ("x, y", "default")),
        (lambda: Returns("less"), "auto", ("in training mode: expected the output 2, got 0, 1",)),
        (Windows, "auto", ("first dimension is the batch", "(128, 8)")),
        (lambda: Returns("softmax of all"), "auto", ("output 0.0", "in a list")),
        (Stacked, "0", ("choose from 0.0 (2, 5), 0.1",)),
        (lambda: Internal(classes=1), "0,1,2", ("2 or more classes, got 1",)),
    ],
)
def test_outputs_that_are_refused(
    build: Callable[[], nn.Module], outputs: str, facts: tuple[str, ...]
) -> None:
    with refused(SpecError, *facts):
        from_outputs(build(), input_size=SIZE, outputs=outputs)


def test_number_of_classes_finds_the_outputs() -> None:
    net = from_outputs(Returns("widths"), input_size=SIZE, num_classes=CLASSES)
    assert net.spec.outputs == ("1", "2")
    with refused(SpecError, "expected a model with logits of 4 classes, got 5"):
        from_outputs(Internal(), input_size=SIZE, outputs="0,1,2", num_classes=4)


@pytest.mark.parametrize(("build", "outputs"), [(Internal, "0,1,2"), (Stacked, "auto")])
def test_attach_names_the_outputs(build: type[nn.Module], outputs: str) -> None:
    with refused(SpecError, f"--outputs {outputs}", "from_outputs"):
        attach_exits(build(), branches="n", input_size=SIZE)


class Plain(Internal):
    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.end = end

    def result(self, answers: list[Tensor]) -> Any:
        return self.end(answers[-1])


def test_attach_says_softmax_and_log_softmax() -> None:
    net = attach_exits(Plain(nn.Softmax(1)), "stem", branches="n", input_size=SIZE)
    assert "softmax" in net.notes[0]
    assert "in front of it" in net.notes[0]
    with torch.no_grad():
        logits = net.eval()(images())["final"]
    assert not torch.allclose(logits.sum(1), torch.ones(3), atol=1e-2)
    net = attach_exits(Plain(nn.LogSoftmax(1)), "stem", branches="n", input_size=SIZE)
    assert "log-softmax" in net.notes[0]
