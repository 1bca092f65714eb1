"""Parameters, bytes and uncounted operators of each part, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeexit.cost import PartCost, network_cost
from edgeexit.cost.operators import LEFT_OUT, OperatorCount, count_operators
from edgeexit.models import ExitSpec, ModelSpec, MultiExitNet, list_branches, make_spec
from edgeexit.models.backbone import Backbone, chained

FLOAT = 4  # bytes


class Calls(nn.Module):
    """A module whose forward is ``function(input, *modules or parameters)``."""

    def __init__(self, function: Callable[..., Tensor], *own: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        self.own = own
        for number, value in enumerate(own):
            setattr(self, f"own{number}", value)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.own)


def count(module: nn.Module, *shape: int, device: str = "cpu") -> OperatorCount:
    return count_operators(module.to(device), [shape], torch.device(device))


def toy_net(stage2: nn.Module, pattern: str = "n") -> MultiExitNet:
    bodies = {
        "stage1": nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        ),
        "stage2": stage2,
    }
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    exits = (ExitSpec("exit1", "stage1", pattern),)
    backbone = Backbone(chained(bodies), classifier, exit_stages=("stage1",))
    return MultiExitNet(ModelSpec("toy", 5, (3, 8, 8), exits), backbone)


def test_every_figure_of_a_small_network_by_hand() -> None:
    cost = network_cost(toy_net(nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)))
    image, map1, map2 = 3 * 8 * 8, 4 * 8 * 8, 8 * 4 * 4  # values
    assert cost.stages == (
        PartCost(
            name="stage1",
            macs=map1 * 3 * 3 * 3,
            parameters=(3 * 3 * 3 * 4 + 4) + 2 * 4,
            weight_bytes=FLOAT * ((3 * 3 * 3 * 4 + 4) + 4 * 4),  # running mean and variance too
            # convolution, batch norm, ReLU in place: each reads and writes
            activation_bytes=FLOAT * ((image + map1) + 2 * map1 + 2 * map1),
            output_bytes=FLOAT * map1,
            uncounted=(),
        ),
        PartCost(
            name="stage2",
            macs=map2 * 3 * 3 * 2,
            parameters=3 * 3 * 2 * 8 + 8,
            weight_bytes=FLOAT * (3 * 3 * 2 * 8 + 8),
            activation_bytes=FLOAT * (map1 + map2),
            output_bytes=FLOAT * map2,
            uncounted=(),
        ),
    )
    assert cost.branches == (
        PartCost(
            name="exit1",
            macs=4 * 5,
            parameters=4 * 5 + 5,
            weight_bytes=FLOAT * (4 * 5 + 5),
            activation_bytes=FLOAT * ((map1 + 4) + (4 + 5)),  # pooling, linear; flatten is a view
            output_bytes=FLOAT * 5,
            uncounted=(),
        ),
        PartCost(
            name="final",
            macs=8 * 5,
            parameters=8 * 5 + 5,
            weight_bytes=FLOAT * (8 * 5 + 5),
            activation_bytes=FLOAT * ((map2 + 8) + (8 + 5)),
            output_bytes=FLOAT * 5,
            uncounted=(),
        ),
    )
    assert [exit_.branch_macs for exit_ in cost.exits] == [part.macs for part in cost.branches]
    assert cost.uncounted == ()


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (3, 5)])
def test_what_an_operator_reads_twice_it_moves_once(shape: tuple[int, ...]) -> None:
    size = torch.zeros(shape).numel()
    assert count(Calls(lambda x: x * x), *shape).activation_bytes == FLOAT * 2 * size
    assert count(Calls(lambda x: x * (x + 1)), *shape).activation_bytes == FLOAT * 5 * size


def test_views_move_nothing_and_a_slice_is_read_alone() -> None:
    assert count(Calls(lambda x: x[:, :, ::2].transpose(1, 2)), 1, 4, 6).activation_bytes == 0
    padded = count(Calls(lambda x: F.pad(x[:, :, ::2], (1, 1))), 1, 4, 6)
    assert padded.activation_bytes == FLOAT * (4 * 3 + 4 * 5)


def test_linear_layer_on_a_sequence_moves_its_input_and_output_alone() -> None:
    for bias in (True, False):  # without bias, torch reshapes by another operator
        counted = count(nn.Linear(16, 8, bias=bias), 1, 5, 16)
        assert counted.activation_bytes == FLOAT * (5 * 16 + 5 * 8)
        assert counted.weight_bytes == FLOAT * 8 * (16 + bias)
        assert counted.macs == 5 * 16 * 8


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("module", "moved"),
    [
        (nn.MaxPool2d(2), 4 * 64 + 4 * 16),
        (nn.BatchNorm2d(4), 2 * 4 * 64),
        (nn.LayerNorm(8), 2 * 4 * 64),
        (nn.GroupNorm(2, 4), 2 * 4 * 64),
    ],
)
def test_indices_and_statistics_for_training_are_not_moved(
    module: nn.Module, moved: int, device: str
) -> None:
    assert count(module, 1, 4, 8, 8, device=device).activation_bytes == FLOAT * moved


def test_integers_are_not_counted() -> None:
    """Neither those that are computed, read as indices, nor those among the weights."""
    table, offset = nn.Parameter(torch.zeros(6, 4)), nn.Buffer(torch.zeros(1, dtype=torch.int64))
    own = Calls(lambda x, table, offset: F.embedding(x.argmax(1) + offset, table), table, offset)
    counted = count(own, 1, 6)
    assert counted.activation_bytes == FLOAT * (6 + 4)  # argmax reads 6, the embedding writes 4
    assert counted.weight_bytes == FLOAT * 6 * 4


def test_what_is_computed_from_weights_alone_is_no_activation() -> None:
    weight = nn.Parameter(torch.zeros(8, 4, 3, 3))
    module = Calls(lambda x, weight: F.conv2d(x, weight - weight.mean(), padding=1), weight)
    counted = count(module, 1, 4, 8, 8)
    assert counted.activation_bytes == FLOAT * (4 * 64 + 8 * 64)
    assert counted.weight_bytes == FLOAT * weight.numel()


def test_tensor_that_an_activation_is_written_into_is_one() -> None:
    def joined(x: Tensor) -> Tensor:
        both = torch.zeros(1, 4, 8)
        both[:, :3] = x
        return both * 2

    copied, doubled = 3 * 8 + 3 * 8, 2 * 4 * 8
    assert count(Calls(joined), 1, 3, 8).activation_bytes == FLOAT * (copied + doubled)


def test_weights_that_are_never_read_are_parameters_alone() -> None:
    stage2 = nn.Conv2d(4, 8, 1)
    stage2.register_parameter("mask", nn.Parameter(torch.zeros(100)))
    stage = network_cost(toy_net(stage2)).stages[1]
    assert stage.parameters == 4 * 8 + 8 + 100
    assert stage.weight_bytes == FLOAT * (4 * 8 + 8)


def test_shared_weights_count_once() -> None:
    convolution = nn.Conv2d(4, 4, 1, bias=False)
    stage2 = nn.Sequential(convolution, convolution, nn.Conv2d(4, 8, 1, bias=False))
    stage = network_cost(toy_net(stage2)).stages[1]
    assert stage.parameters == 4 * 4 + 4 * 8
    assert stage.weight_bytes == FLOAT * (4 * 4 + 4 * 8)
    assert stage.macs == 8 * 8 * (4 * 4 + 4 * 4 + 4 * 8)


def test_part_without_weights_is_counted() -> None:
    stage2 = Calls(lambda x: torch.cat([F.avg_pool2d(x, 2), -F.avg_pool2d(x, 2)], dim=1))
    stage = network_cost(toy_net(stage2)).stages[1]
    assert (stage.macs, stage.parameters, stage.weight_bytes) == (0, 0, 0)
    big, small = 4 * 64, 4 * 16
    assert stage.activation_bytes == FLOAT * (
        2 * (big + small) + 2 * small + (2 * small + 2 * small)
    )


ATTENTION = 2 * 16 * 16 * 32  # scores and weighted sum, 16 positions of 32 channels
PROJECTIONS = 16 * 32 * (3 * 32 + 32)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.ConvTranspose2d(4, 8, 3), (1, 4, 5, 7), 4 * 5 * 7 * 8 * 9),
        (nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4), (1, 4, 5, 7), 8 * 5 * 7 * 9),
        (Calls(lambda x: torch.einsum("bqd,bkd->bqk", x, x)), (2, 5, 7), 2 * 5 * 5 * 7),
        (Calls(lambda x: x @ x.mT), (2, 5, 7), 2 * 5 * 5 * 7),
        (Calls(lambda x: torch.baddbmm(x, x, x)), (2, 5, 5), 2 * 5 * 5 * 5),
        (Calls(lambda x: F.scaled_dot_product_attention(x, x, x)), (1, 4, 16, 8), ATTENTION),
        (
            Calls(
                lambda x, attention: attention(x, x, x, need_weights=False)[0],
                nn.MultiheadAttention(32, 4, batch_first=True),
            ),
            (1, 16, 32),
            ATTENTION + PROJECTIONS,
        ),
        (
            nn.TransformerEncoder(
                nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), num_layers=2
            ),
            (1, 16, 32),
            2 * (ATTENTION + PROJECTIONS + 2 * 16 * 32 * 64),
        ),
    ],
    ids=["deconv", "grouped", "einsum", "matmul", "baddbmm", "attention", "multihead", "encoder"],
)
def test_operators_that_are_counted(
    module: nn.Module, shape: tuple[int, ...], macs: int, device: str
) -> None:
    counted = count(module, *shape, device=device)
    assert (counted.macs, counted.uncounted) == (macs, ())


def test_attention_moves_the_same_bytes_on_every_device_and_keeps_its_switches() -> None:
    module = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)

    def switches() -> tuple[bool, ...]:
        cuda = torch.backends.cuda
        return (
            torch.backends.mha.get_fastpath_enabled(),
            cuda.flash_sdp_enabled(),
            cuda.mem_efficient_sdp_enabled(),
            cuda.math_sdp_enabled(),
        )

    torch.backends.mha.set_fastpath_enabled(True)
    before = switches()
    on_cpu = count(module, 1, 16, 32)
    assert switches() == before
    assert count(module, 1, 16, 32, device="meta") == on_cpu
    with pytest.raises(RuntimeError):
        count(module, 1, 16, 31)
    assert switches() == before


@torch.library.custom_op("edgeexit_tests::doubled", mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return 2 * x


@doubled.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("edgeexit_tests::double_", mutates_args=("x",))
def double_(x: Tensor) -> None:
    x.mul_(2)


def doubled_in_place(x: Tensor) -> Tensor:
    double_(x)
    return x


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (torch.fft.fft2, ("aten._fft_c2c",)),
        (lambda x: x.cumsum(1), ("aten.cumsum",)),
        (lambda x: x.cumsum_(1), ("aten.cumsum_",)),
        (torch.linalg.inv, ("aten.linalg_inv_ex",)),
        (lambda x: torch.mv(x[0], x[0, 0]), ("aten.mv",)),
        (lambda x: torch.dot(x[0, 0], x[0, 1]).cumsum(0), ("aten.cumsum", "aten.dot")),
        (doubled, ("edgeexit_tests.doubled",)),
        (doubled_in_place, ("edgeexit_tests.double_",)),
    ],
    ids=["fft", "cumsum", "cumsum_", "inverse", "mv", "two", "custom", "custom_"],
)
def test_operators_that_are_not_counted_are_named(
    function: Callable[[Tensor], Tensor], expected: tuple[str, ...], device: str
) -> None:
    counted = count(Calls(function), 1, 4, 4, device=device)
    assert (counted.macs, counted.uncounted) == (0, expected)


def test_recurrent_layer_is_counted_or_named() -> None:
    """torch runs it as one operator where it has a kernel for that, else as matrix products."""
    layer = Calls(lambda x, lstm: lstm(x)[0], nn.LSTM(32, 16))
    macs = 5 * (32 + 16) * 4 * 16
    whole = count(layer, 5, 1, 32, device="meta")
    assert (whole.macs, whole.uncounted) == (macs, ())
    on_cpu = count(Calls(lambda x, lstm: lstm(x)[0], nn.LSTM(32, 16)), 5, 1, 32)
    assert on_cpu.macs == macs or on_cpu.uncounted


def test_operators_that_the_definition_leaves_out_are_not_named() -> None:
    def many(x: Tensor) -> Tensor:
        x = F.silu(F.hardswish(F.gelu(x), inplace=True), inplace=True)
        x = F.prelu(F.softmax(F.elu(x), dim=1), torch.full((1,), 0.1))
        x = F.normalize(F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear"))
        x = x.unsqueeze_(1).squeeze_(1).transpose_(2, 3)
        x = F.pixel_shuffle(torch.stack([x, x.flip(1)], 2).flatten(1, 2), 2)
        return x.clamp(0, 6).roll(1, 2).amax((2, 3), keepdim=True).sigmoid() * x.masked_fill(
            x > 3, 0.0
        )

    counted = count(Calls(many), 1, 4, 8, 8)
    assert (counted.macs, counted.uncounted) == (0, ())


def test_names_of_operators_that_are_left_out_exist() -> None:
    assert [name for name in sorted(LEFT_OUT) if not hasattr(torch.ops.aten, name)] == []


@pytest.mark.parametrize(
    "activation",
    [nn.CELU, nn.ELU, nn.Hardsigmoid, nn.Hardtanh, nn.Mish, nn.ReLU6, nn.SELU, nn.SiLU],
)
def test_an_activation_in_place_is_left_out(activation: type[nn.Module]) -> None:
    """Some of them, which ones depends on torch, are tagged as value by value only elsewhere."""
    counted = count(activation(inplace=True), 1, 4, 8, 8)
    assert (counted.macs, counted.uncounted) == (0, ())


def test_network_names_the_uncounted_operators_of_its_parts() -> None:
    stage2 = nn.Sequential(nn.Conv2d(4, 8, 1), Calls(lambda x: x.cumsum(1) + x.cumprod(2)))
    cost = network_cost(toy_net(stage2))
    assert cost.stages[0].uncounted == ()
    assert cost.stages[1].uncounted == ("aten.cumprod", "aten.cumsum")
    assert cost.uncounted == ("aten.cumprod", "aten.cumsum")


@pytest.mark.parametrize("token", [entry.example for entry in list_branches()])
def test_every_kind_of_branch_is_counted_whole(token: str) -> None:
    with torch.device("meta"):
        net = MultiExitNet(make_spec("resnet20", f"{token}+{token}", num_classes=10))
    for branch in network_cost(net).branches:
        assert branch.uncounted == ()
        assert branch.macs > 0
        assert branch.parameters * FLOAT <= branch.weight_bytes
