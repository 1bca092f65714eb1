"""MSDNet beside the authors' PyTorch code: shapes, parameters and costs of every exit.

Every figure of the reference was measured on https://github.com/kalviny/MSDNet-PyTorch, commit
f654595, built by the commands of its README ("Network Configurations").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import pytest
import torch
from torch import nn

from edgeexit.cost import network_cost
from edgeexit.models import ExitSpec, ModelSpec, MultiExitNet, make_spec, partition
from edgeexit.models.layers.msdnet import DenseLayer, classifier
from edgeexit.models.registry import backbone_entry


@dataclass(frozen=True)
class Reference:
    """One row per exit: the block's parameters and MACs, and the classifier's behind it.

    ``shapes`` are of the features that each block hands on, finest first. The reference's
    op_counter.py prints sums: all that has run until an exit has answered.
    """

    pattern: str
    classes: int
    block_parameters: tuple[int, ...]
    classifier_parameters: tuple[int, ...]
    block_macs: tuple[int, ...]
    classifier_macs: tuple[int, ...]
    shapes: tuple[tuple[tuple[int, int], ...], ...]  # (channels, pixels) per scale


REFERENCE = {
    "msdnet_cifar100": Reference(
        pattern="m128+m128+m128+m128+m128+m128",
        classes=100,
        block_parameters=(88_688, 42_432, 76_012, 43_152, 50_064, 88_928, 73_440),
        classifier_parameters=(345_188, 400_484, 322_148, 377_444, 432_740, 335_972, 391_268),
        block_macs=(11_415_552, 5_855_232, 8_338_432, 5_124_096, 6_008_832, 6_191_104, 4_669_440),
        classifier_macs=(
            3_551_744,
            4_436_480,
            3_183_104,
            4_067_840,
            4_952_576,
            3_404_288,
            4_289_024,
        ),
        shapes=(
            ((40, 32), (80, 16), (160, 8)),
            ((52, 32), (104, 16), (208, 8)),
            ((70, 16), (140, 8)),
            ((94, 16), (188, 8)),
            ((118, 16), (236, 8)),
            ((152, 8),),
            ((200, 8),),
        ),
    ),
    "msdnet_imagenet": Reference(
        pattern="m+m+m+m",
        classes=1000,
        block_parameters=(1_197_760, 1_492_992, 1_716_352, 1_705_440, 1_001_984),
        classifier_parameters=(3_040_744, 3_040_744, 2_584_680, 1_969_704, 6_208_040),
        block_macs=(310_288_384, 317_513_728, 299_350_016, 229_028_352, 48_971_776),
        classifier_macs=(26_926_080, 26_926_080, 22_654_720, 16_938_880, 57_008_000),
        shapes=(
            ((96, 56), (192, 28), (384, 14), (384, 7)),
            ((192, 28), (384, 14), (384, 7)),
            ((352, 14), (352, 7)),
            ((304, 7),),
            ((560, 7),),
        ),
    ),
}


@pytest.fixture(params=list(REFERENCE))
def name(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def on_meta(spec: ModelSpec) -> MultiExitNet:
    with torch.device("meta"):
        return MultiExitNet(spec)


@cache
def reference_net(name: str) -> MultiExitNet:
    """The network with the reference's own classifiers, without memory for its weights."""
    return on_meta(make_spec(name, REFERENCE[name].pattern, REFERENCE[name].classes))


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_parameters_of_the_reference(name: str) -> None:
    net, reference = reference_net(name), REFERENCE[name]
    blocks = [count(stage) for _, stage in net.backbone.named_stages()]
    classifiers = [count(branch) for branch in (*net.branches.values(), net.backbone.classifier)]
    assert tuple(blocks) == reference.block_parameters
    assert tuple(classifiers) == reference.classifier_parameters
    assert count(net) == sum(blocks) + sum(classifiers)


def test_costs_of_the_reference(name: str) -> None:
    cost, reference = network_cost(reference_net(name)), REFERENCE[name]
    assert tuple(stage.macs for stage in cost.stages) == reference.block_macs
    assert tuple(exit_.branch_macs for exit_ in cost.exits) == reference.classifier_macs
    added = map(sum, zip(reference.block_macs, reference.classifier_macs, strict=True))
    assert [exit_.path_macs for exit_ in cost.exits] == list(accumulate(added))


def test_features_of_the_reference_by_name(name: str) -> None:
    net, shapes = reference_net(name), REFERENCE[name].shapes
    coarsest = len(shapes[0])
    stages = net.backbone.named_stages()
    assert [stage for stage, _ in stages] == [f"stage{n}" for n in range(1, len(shapes) + 1)]
    before: tuple[str, ...] = ("images",)
    for (stage, module), exit_, scales in zip(stages, net.spec.exit_names, shapes, strict=True):
        assert module.inputs == before
        before = module.outputs
        left = range(coarsest - len(scales) + 1, coarsest + 1)
        assert module.outputs == tuple(f"{stage}_scale{scale}" for scale in left)
        found = [net.features[output].shape for output in module.outputs]
        assert found == [(channels, pixels, pixels) for channels, pixels in scales]
        assert net.exit_inputs(exit_) == (f"{stage}_scale{coarsest}",)


def test_parts_hand_on_every_scale_and_nothing_else() -> None:
    """Branches behind stages 2 and 5 alone: three parts, of stages 1-2, 3-5 and 6-7."""
    exits = (ExitSpec("exit1", "stage2", "m"), ExitSpec("exit2", "stage5", "n"))
    parts = partition(on_meta(ModelSpec("msdnet_cifar100", 10, (3, 32, 32), exits)))
    flow = [([i.name for i in p.inputs], [o.name for o in p.outputs]) for p in parts.stages]
    assert flow == [
        (["images"], ["stage2_scale1", "stage2_scale2", "stage2_scale3"]),
        (
            ["stage2_scale1", "stage2_scale2", "stage2_scale3"],
            ["stage5_scale2", "stage5_scale3"],
        ),
        (["stage5_scale2", "stage5_scale3"], ["stage7_scale3"]),
    ]
    assert [part.outputs[-1].shape for part in parts.stages] == [
        (208, 8, 8),
        (236, 8, 8),
        (200, 8, 8),
    ]


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 33, 47), (3, 1, 1)])
def test_other_images(name: str, size: tuple[int, int, int]) -> None:
    net = backbone_entry(name).build(7, size).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, *size)).shape == (2, 7)


def test_dense_layer_keeps_its_inputs_and_adds_from_the_finer_scale_and_its_own() -> None:
    torch.manual_seed(0)
    layer = DenseLayer(base=4, growth=6, factors=(1, 2, 4), drops=False).eval()
    inputs = [torch.randn(2, 4 * f, 8 // s, 8 // s) for f, s in ((1, 1), (2, 2), (4, 4))]
    with torch.no_grad():
        outputs = layer(inputs)
        changed = layer([inputs[0] + 1, *inputs[1:]])
    assert [tuple(x.shape) for x in outputs] == [(2, 10, 8, 8), (2, 20, 4, 4), (2, 40, 2, 2)]
    for before, after in zip(inputs, outputs, strict=True):
        assert torch.equal(after[:, : before.shape[1]], before)
    differs = [
        (old != new).flatten(2).any(2).any(0) for old, new in zip(outputs, changed, strict=True)
    ]
    assert differs[1][8:14].any(), "half of what the second scale adds comes from the finer one"
    assert not differs[1][14:].any()
    assert not differs[2].any()


def test_dropped_scale_is_read_a_last_time() -> None:
    torch.manual_seed(0)
    layer = DenseLayer(base=4, growth=6, factors=(1, 2), drops=True).eval()
    fine, coarse = torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        (output,) = layer([fine, coarse])
        (changed,) = layer([fine + 1, coarse])
    assert output.shape == (1, 20, 4, 4)
    assert (output != changed)[:, 8:14].any()


@pytest.mark.parametrize("pixels", [8, 7])
def test_global_pooling_is_the_references_2x2_pooling(pixels: int) -> None:
    torch.manual_seed(0)
    ours = classifier(6, 4, 3).eval()
    features = torch.randn(2, 6, pixels, pixels)
    with torch.no_grad():
        before = ours.conv2(ours.conv1(features))  # (2, 4, 2, 2)
        pooled = nn.functional.avg_pool2d(before, 2).flatten(1)
        torch.testing.assert_close(ours(features), ours.linear(pooled))
    assert before.shape == (2, 4, 2, 2)


def test_weights_start_as_pytorch_initializes_them() -> None:
    """As in the reference, where they were measured: uniform, up to 1 / sqrt(fan in)."""
    torch.manual_seed(0)
    for module in backbone_entry("msdnet_cifar100").build(10, (3, 32, 32)).modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound
