"""The whole network: what it gives, what it learns, and what its backbone shares."""

from __future__ import annotations

import pytest
import torch
from support.messages import missing
from torch import Tensor

from edgeexit.errors import SpecError
from edgeexit.models import ExitSpec, ModelSpec, MultiExitNet, list_branches, make_spec


def test_logits_of_every_exit_by_name(net: MultiExitNet, images: Tensor) -> None:
    logits = net(images)
    assert tuple(logits) == net.spec.exit_names
    assert {tensor.shape for tensor in logits.values()} == {(2, net.spec.num_classes)}
    assert all(tensor.dtype == torch.float32 for tensor in logits.values())
    assert all(bool(tensor.isfinite().all()) for tensor in logits.values())


def test_every_parameter_gets_a_gradient(net: MultiExitNet, images: Tensor) -> None:
    sum(logits.square().sum() for logits in net(images).values()).backward()
    without = [name for name, value in net.named_parameters() if value.grad is None]
    assert without == []
    assert all(bool(value.grad.isfinite().all()) for value in net.parameters())


def test_branches_do_not_change_the_final_exit(net: MultiExitNet, images: Tensor) -> None:
    net.eval()
    with torch.no_grad():
        assert torch.equal(net(images)["final"], net.backbone(images))


def test_samples_do_not_see_each_other(net: MultiExitNet, images: Tensor) -> None:
    net.eval()
    with torch.no_grad():
        together, alone = net(images), net(images[1:])
    for name, logits in alone.items():
        torch.testing.assert_close(logits[0], together[name][1], rtol=1e-4, atol=1e-4)


def test_state_fits_a_second_network_of_the_same_spec(net: MultiExitNet, images: Tensor) -> None:
    twin = MultiExitNet(net.spec)
    twin.load_state_dict(net.state_dict())
    net.eval(), twin.eval()
    with torch.no_grad():
        for mine, other in zip(net(images).values(), twin(images).values(), strict=True):
            assert torch.equal(mine, other)


def test_plain_backbone_has_the_weights_of_the_branched_one(net: MultiExitNet) -> None:
    spec = net.spec
    plain = MultiExitNet(make_spec(spec.backbone, "none", spec.num_classes, spec.input_size))
    mine, other = net.state_dict(), plain.state_dict()
    assert list(other) == [name for name in mine if not name.startswith("branches.")]
    net.load_state_dict(other, strict=False)
    plain.backbone.load_state_dict(net.backbone.state_dict())


def test_spec_names_exits_stages_and_pattern() -> None:
    spec = make_spec("resnet18", "4+n+2", num_classes=1000)
    assert spec == ModelSpec(
        "resnet18",
        1000,
        (3, 224, 224),
        (
            ExitSpec("exit1", "stage1", "4"),
            ExitSpec("exit2", "stage2", "n"),
            ExitSpec("exit3", "stage3", "2"),
        ),
    )
    assert spec.exit_names == ("exit1", "exit2", "exit3", "final")
    assert spec.pattern == "4+n+2"
    assert make_spec("resnet20", "none", 10).pattern == "none"


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("resnet56", "3+1"),
        ("resnet18", "4+3+2"),
        ("msdnet_imagenet", "4+3+2+1"),
        ("msdnet_cifar100", "3+3+2+2+1+1"),
    ],
)
def test_pattern_of_another_length(name: str, pattern: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_spec(name, "1", num_classes=10)
    points = pattern.count("+") + 1
    stages = ", ".join(f"stage{number}" for number in range(1, points + 1))
    facts = ("'1'", name, f"{points} branching points ({stages})", "got 1")
    assert not missing(caught.value, *facts)
    assert str(caught.value).endswith(f"write for example {pattern}")


def test_the_example_in_that_message_fits(backbone: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_spec(backbone, "+".join("1" * 9), num_classes=10)
    make_spec(backbone, str(caught.value).rpartition(" ")[2], num_classes=10)


@pytest.mark.parametrize(
    "token",
    ["x", "0", "-1", "1.5", "N", "", "03", "100", " 1", *("m0", "m01", "m12345", "mm", "s2", "sm")],
)
def test_unknown_branch_is_refused_before_anything_is_built(token: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_spec("resnet20", f"3+{token}", num_classes=10)
    known = ", ".join(f"{entry.example} ({entry.name})" for entry in list_branches())
    assert "3 (SE-B of level n)" in known
    assert str(caught.value) == (f"unknown branch {token!r} in the pattern: known are {known}")


@pytest.mark.parametrize("token", [entry.example for entry in list_branches()])
def test_the_examples_in_that_message_are_branches(token: str) -> None:
    net = MultiExitNet(make_spec("resnet20", f"{token}+{token}", 10, (3, 16, 16)))
    logits = net(torch.randn(2, 3, 16, 16))
    assert [value.shape for value in logits.values()] == [(2, 10)] * 3


@pytest.mark.parametrize("classes", [1, 0, -3])
def test_a_classifier_needs_two_classes(classes: int) -> None:
    with pytest.raises(SpecError, match=f"at least 2 classes, got {classes}"):
        make_spec("resnet20", "3+1", classes)


def test_images_too_small_for_the_backbone() -> None:
    with pytest.raises(SpecError, match=r"resnet20 cannot read images of \(3, 0, 0\): .*size"):
        MultiExitNet(make_spec("resnet20", "none", 10, (3, 0, 0)))


def test_images_too_small_for_the_branch() -> None:
    with pytest.raises(SpecError) as caught:
        MultiExitNet(make_spec("resnet18", "1+1+1", 10, (3, 8, 8)))
    assert not missing(
        caught.value, "stage2_out (128, 1, 1)", "4x4", "another input size", "multiple of 32"
    )


def test_stage_that_the_backbone_does_not_have() -> None:
    spec = ModelSpec("resnet20", 10, (3, 32, 32), (ExitSpec("exit1", "stage9", "1"),))
    with pytest.raises(SpecError) as caught:
        MultiExitNet(spec)
    assert not missing(caught.value, "resnet20", "'stage9'", "it has stage1, stage2, stage3")


@pytest.mark.parametrize("size", [(225, 225), (160, 160), (96, 96), (64, 64), (64, 96)])
@pytest.mark.parametrize(("name", "pattern"), [("resnet18", "1+1+1"), ("resnet20", "1+1")])
def test_other_input_sizes(name: str, pattern: str, size: tuple[int, int]) -> None:
    net = MultiExitNet(make_spec(name, pattern, 10, (3, *size))).eval()
    with torch.no_grad():
        logits = net(torch.zeros(1, 3, *size))
    assert [tuple(tensor.shape) for tensor in logits.values()] == [(1, 10)] * len(logits)
