"""Models with exits of their own, split into stages and the branches that they came with."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
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
from torch import Tensor, nn

from edgeexit.cost import network_cost
from edgeexit.errors import SpecError
from edgeexit.models.attach import attach_exits
from edgeexit.models.mode import in_mode
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.outputs import from_outputs, ordered_outputs, split_spec
from edgeexit.models.partition import partition
from edgeexit.models.tracing.outputs import list_outputs
from edgeexit.models.tracing.results import named_results
from edgeexit.models.tracing.stacks import named_result


def images(batch: int = 3) -> Tensor:
    return torch.randn(batch, *SIZE, generator=torch.Generator().manual_seed(7 + batch))


def refused(model: nn.Module, outputs: str = "auto", **options: Any) -> str:
    """Return what from_outputs says about a model that it does not take."""
    with pytest.raises(SpecError) as caught:
        from_outputs(model, input_size=SIZE, outputs=outputs, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(params=ALL)
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of network that comes with exits."""
    name: str = request.param
    return name


@pytest.fixture
def model(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return ALL[kind][0]().eval()


@pytest.fixture
def net(kind: str, model: nn.Module) -> MultiExitNet:
    return from_outputs(model, input_size=SIZE, outputs=ALL[kind][1])


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_chained_parts_give_what_the_model_gives(
    kind: str, model: nn.Module, net: MultiExitNet, batch: int
) -> None:
    x = images(batch)
    with torch.no_grad():
        expected = named_results(model(x.clone()))
        answers, features = {}, {"images": x.clone()}
        parts = partition(net)
        for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
            for part in (stage, exit_):
                results = part.module(*(features[info.name] for info in part.inputs))
                assert [tuple(t.shape[1:]) for t in results] == [i.shape for i in part.outputs]
                if part is stage:
                    features.update(zip((i.name for i in part.outputs), results, strict=True))
            answers[exit_.name] = results[0]
        (plain,) = parts.baseline.module(x.clone())
    for name, output in zip(answers, ALL[kind][1].split(","), strict=True):
        answer = answers[name]
        if kind == "softmax" and output != "2":
            answer = answer.softmax(1)
        torch.testing.assert_close(answer, named_result(expected, output), rtol=0, atol=1e-6)
    torch.testing.assert_close(plain, answers["final"], rtol=0, atol=0)


def test_every_exit_adds_a_stage_with_a_branch_of_its_own(kind: str, net: MultiExitNet) -> None:
    assert net.spec.outputs == tuple(ALL[kind][1].split(","))
    assert net.spec.pattern == "+".join(["own"] * (len(net.spec.outputs) - 1))
    assert len(partition(net).stages) == len(net.spec.outputs)
    cost = network_cost(net)
    assert list(cost.stage_macs) != []
    assert cost.exits[-1].name == "final"
    assert cost.baseline_macs <= cost.exits[-1].macs


def test_the_parts_share_the_weights_of_the_model(model: nn.Module, net: MultiExitNet) -> None:
    own = {id(weight) for weight in model.parameters()}
    assert {id(weight) for weight in net.parameters()} <= own


def test_it_is_split_again_from_its_specification(
    model: nn.Module, net: MultiExitNet, kind: str
) -> None:
    twin = split_spec(copy.deepcopy(model), net.spec)
    assert twin.spec == net.spec
    twin.load_state_dict(net.state_dict())
    with torch.no_grad():
        for name, logits in twin.eval()(images()).items():
            assert torch.equal(logits, net(images())[name])


def test_every_weight_that_the_exits_read_learns(net: MultiExitNet) -> None:
    net.train()
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
    assert "choose from 0.0 (2, 5), 0.1" in refused(Stacked(), "0")
    with pytest.raises(SpecError, match=r"--outputs auto"):
        attach_exits(Stacked(), input_size=SIZE, branches="n")

    class Together(Internal):
        def result(self, answers: list[Tensor]) -> Any:
            return torch.stack(answers).softmax(-1)

    message = refused(Together())
    assert "output 0.0" in message
    assert "in a list" in message


def test_softmax_at_the_end_is_taken_off_and_said() -> None:
    net = from_outputs(Softmaxed(), input_size=SIZE)
    notes = " ".join(net.notes)
    assert "output 0 ends in a softmax" in notes
    assert "output 1 ends in a softmax" in notes
    assert "output 2 ends in a log-softmax" in notes


def test_order_of_exits_that_add_no_stage() -> None:
    message = refused(FinalFirst(), "0,1,2")
    assert "output 1 adds no stage" in message
    assert message.endswith("1,2,0")
    assert ordered_outputs(FinalFirst(), SIZE) == ("1", "2", "0")


def test_order_that_nobody_named_is_asked_for() -> None:
    class Auxiliary(Branchy):
        def forward(self, x: Tensor, threshold: float | None = None) -> Any:
            x = self.first(x)
            early = F.pad(x.mean((2, 3)), (0, 4))
            return self.classifier(self.second(x).mean((2, 3))), self.classifier(early)

    message = refused(Auxiliary())
    assert message.endswith("1,0")
    assert from_outputs(Auxiliary(), input_size=SIZE, outputs="1,0").spec.outputs == ("1", "0")


class Returns(Internal):
    """Something else than logits, as ``what`` says."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def result(self, answers: list[Tensor]) -> Any:
        first, second, third = answers
        return {
            "one": {"out": third},
            "widths": (first[:, :3], second, third),
            "twice": (first, first, third),
            "probabilities": (first, second.softmax(1) * 1.0, third),
            "together": (first - first.mean(0), second, third),
        }[self.what]


def test_outputs_that_are_none() -> None:
    assert "'hiden.0'" in (message := refused(ALL["dataclass"][0](), "hiden.0,logits"))
    assert "did you mean hidden.0" in message
    assert "3 (3, 2, 5)" in refused(FinalFirst(), "1,3")
    assert "twice" in refused(FinalFirst(), "1,1")
    assert "out (2, 5)" in refused(Returns("one"))
    assert "0 (2, 3), 1 (2, 5), 2 (2, 5)" in refused(Returns("widths"))
    assert "0 and 1 are the same tensor" in refused(Returns("twice"))
    assert "'7'; there are 0 (2, 5)" in refused(Internal(), "7,0")
    assert "expected a model with logits of 4 classes, got 5" in refused(
        Internal(), "0,1,2", num_classes=4
    )
    assert from_outputs(Returns("widths"), input_size=SIZE, num_classes=CLASSES).spec.outputs == (
        "1",
        "2",
    )


def test_probabilities_without_a_softmax_at_the_end() -> None:
    message = refused(Returns("probabilities"))
    assert "output 1" in message
    assert "logarithm" in message


def test_answers_that_depend_on_the_batch() -> None:
    message = refused(Returns("together"))
    assert "output 0" in message
    assert "images beside it" in message
    assert "batch of 5" in message

    class NoStatistics(Internal):
        def __init__(self) -> None:
            super().__init__()
            self.blocks[1][1] = nn.BatchNorm2d(8, track_running_stats=False)

    message = refused(NoStatistics())
    assert "blocks.1.1" in message
    assert "track_running_stats=True" in message


def test_answers_at_random() -> None:
    class Random(Internal):
        def result(self, answers: list[Tensor]) -> Any:
            return answers[0], F.dropout(answers[1]), answers[2]

    assert "output 1 is random" in refused(Random())


def test_exit_that_is_chosen_by_values_is_named_with_its_line() -> None:
    class Chooses(Internal):
        def result(self, answers: list[Tensor]) -> Any:
            if answers[0].softmax(1).max() > 0.9:
                return answers[:1]
            return answers

    message = refused(Chooses())
    assert "if answers[0].softmax(1).max() > 0.9" in message
    assert "test_outputs.py:" in message
    assert "give a module that returns every exit" in message

    class Leaves(Internal):
        def result(self, answers: list[Tensor]) -> Any:
            return [torch.from_numpy(answer.detach().numpy()) for answer in answers]

    message = refused(Leaves())
    assert ".numpy()" in message
    assert "give a module that returns every exit" in message


def test_several_inputs() -> None:
    class Pairs(Internal):
        def forward(self, x: Tensor, y: Tensor) -> Any:  # type: ignore[override]
            return super().forward(x + y)

    message = refused(Pairs())
    assert "x, y" in message
    assert "default" in message


def test_fewer_outputs_in_training_mode() -> None:
    class Less(Internal):
        def result(self, answers: list[Tensor]) -> Any:
            return answers[:2] if self.training else answers

    message = refused(Less())
    assert "in training mode: expected the output 2, got 0, 1" in message


def test_tensor_that_is_no_batch_cannot_cross() -> None:
    class Windows(nn.Module):
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

    message = refused(Windows())
    assert "first dimension is the batch" in message
    assert "(128, 8)" in message


def test_attach_names_the_outputs() -> None:
    with pytest.raises(SpecError) as caught:
        attach_exits(Internal(), "stem", branches="n", input_size=SIZE)
    assert "--outputs 0,1,2" in str(caught.value)
    assert "from_outputs" in str(caught.value)


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


def test_attach_refuses_answers_that_depend_on_the_batch() -> None:
    class Together(nn.Module):
        def forward(self, logits: Tensor) -> Tensor:
            return logits - logits.mean(0)

    with pytest.raises(SpecError, match="images beside it"):
        attach_exits(Plain(Together()), "stem", branches="n", input_size=SIZE)
