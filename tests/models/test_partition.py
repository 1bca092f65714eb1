"""The parts of a network, run one after another, are the network."""

from __future__ import annotations

import pytest
import torch
from support.parts import chained_logits, run_part
from torch import Tensor

from edgeexit.models import FINAL, MultiExitNet, make_spec, partition


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
    logits = chained_logits(parts, images)
    with torch.no_grad():
        expected, plain = net(images), net.backbone(images) / temperatures.get(FINAL, 1)
        baseline = run_part(parts.baseline, {"images": images})
    assert tuple(logits) == net.spec.exit_names
    assert all(torch.equal(logits[name], expected[name]) for name in expected)
    assert torch.equal(baseline["logits"], plain)


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
