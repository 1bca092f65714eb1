"""The parts of a network, run one after another, are the network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from edgeexit.models import FINAL, MultiExitNet, make_spec, partition
from edgeexit.models.partition import LOGITS, Part


def run(part: Part, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Run a part on the tensors that it names, as the runtime will; check what it promises."""
    outputs = part.module(*(tensors[info.name] for info in part.inputs))
    named = dict(zip((info.name for info in part.outputs), outputs, strict=True))
    for info in part.outputs:
        assert named[info.name].shape[1:] == info.shape
    return named


@pytest.mark.parametrize("temperatures", [{}, {"exit1": 0.5, FINAL: 4.0}], ids=["1", "others"])
def test_chained_parts_equal_the_whole_network(
    net: MultiExitNet,
    images: Tensor,
    temperatures: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net.eval()
    monkeypatch.setattr(net, "temperatures", temperatures)
    parts = partition(net)
    tensors = {"images": images}
    logits = {}
    with torch.no_grad():
        for stage, exit_ in zip(parts.stages, parts.exits, strict=True):
            tensors.update(run(stage, tensors))
            logits[exit_.name] = run(exit_, tensors)[LOGITS]
        expected = net(images)
        baseline = run(parts.baseline, {"images": images})[LOGITS]
        assert torch.equal(baseline, net.backbone(images) / temperatures.get(FINAL, 1))
    assert tuple(logits) == net.spec.exit_names
    for name in expected:
        assert torch.equal(logits[name], expected[name])


def test_stages_without_a_branch_between_them_are_one_part() -> None:
    parts = partition(MultiExitNet(make_spec("resnet20", "none", 10)))
    assert [stage.name for stage in parts.stages] == ["stage1"]
    assert [exit_.name for exit_ in parts.exits] == [FINAL]
    assert [info.name for info in parts.stages[0].outputs] == ["stage3_out"]


def test_parts_share_the_weights_and_leave_none_out(net: MultiExitNet) -> None:
    parts = partition(net)
    modules = [part.module for part in (*parts.stages, *parts.exits)]
    shared = {id(value) for module in modules for value in module.parameters()}
    assert shared == {id(value) for value in net.parameters()}


def test_cutting_leaves_the_mode_alone(net: MultiExitNet) -> None:
    net.eval()
    partition(net)
    assert not any(module.training for module in net.modules())
