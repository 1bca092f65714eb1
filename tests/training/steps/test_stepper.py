"""The same step in parts, in mixed precision, compiled."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import MakeConfig
from torch import Tensor, nn

from edgeexit.errors import DataError, InputError, TrainingError
from edgeexit.models import MultiExitNet, attach_exits, make_spec
from edgeexit.training import TrainConfig, load_checkpoint, train
from edgeexit.training.distributed import World
from edgeexit.training.steps.stepper import Stepper
from edgeexit.training.steps.strategies import plan_phases

ALONE = World(0, 1, torch.device("cpu"))


class WithoutNorm(nn.Module):
    """No batch norm: the parts of a batch do not see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.second(self.first(x)).mean((2, 3)))
        return logits


def _own_net() -> MultiExitNet:
    torch.manual_seed(0)
    return attach_exits(WithoutNorm(), ["first"], branches="n", input_size=(3, 8, 8))


def _stepper(net: MultiExitNet, config: TrainConfig) -> Stepper:
    (phase,) = plan_phases("coop", net, taught=False, backbone_is_trained=False)
    net.train()
    config = replace(config, channels_last=False)
    return Stepper(net, phase, list(net.parameters()), config, ALONE, None, 10)


def _batch(count: int = 8) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 8, 8, generator=random)
    return images, torch.arange(count) % 2


def test_a_step_in_parts_is_the_step_of_the_whole(tiny_config: MakeConfig) -> None:
    images, targets = _batch()
    nets = [_own_net(), _own_net()]
    whole, parts = (_stepper(net, tiny_config(lr=0.1)) for net in nets)
    for _ in range(3):
        first = whole.step([(images, targets)])
        second = parts.step([(images[:4], targets[:4]), (images[4:], targets[4:])])
        assert torch.allclose(first, second, rtol=1e-6)
    first, second = (net.state_dict() for net in nets)
    assert all(torch.allclose(value, second[n], atol=1e-7) for n, value in first.items())


def test_the_rate_falls_linearly_to_zero(tiny_config: MakeConfig) -> None:
    stepper, rates = _stepper(_own_net(), tiny_config(lr=0.2)), list[float]()
    for _ in range(10):
        rates += [group["lr"] for group in stepper.optimizer.param_groups]
        stepper.step([_batch()])
    rates += [group["lr"] for group in stepper.optimizer.param_groups]
    assert rates == pytest.approx([0.2 - 0.02 * step for step in range(11)])


def test_what_a_step_tells(tiny_config: MakeConfig) -> None:
    images, targets = _batch()
    net = _own_net()
    with torch.no_grad():
        logits = net(images)
    loss, *correct = _stepper(net, tiny_config()).step([(images, targets)]).tolist()
    expected = sum(float(nn.functional.cross_entropy(z, targets)) for z in logits.values())
    assert loss == pytest.approx(8 * expected, rel=1e-6)
    assert correct == [float((z.argmax(1) == targets).sum()) for z in logits.values()]


@pytest.mark.parametrize("label", [-1, 2, 7])
def test_labels_that_are_no_class(tiny_config: MakeConfig, label: int) -> None:
    images, targets = _batch()
    targets[3] = label
    message = f"expected labels of 0 to 1, got {label}: correct the labels"
    with pytest.raises(DataError, match=message):
        _stepper(_own_net(), tiny_config()).step([(images, targets)])


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_learns_nearly_the_same(
    tmp_path: Path, tiny_config: MakeConfig, amp: str
) -> None:
    first, second = (
        float(_stepper(_own_net(), tiny_config(amp=kind)).step([_batch()])[0])
        for kind in ("off", amp)
    )
    assert first != second
    assert second == pytest.approx(first, rel=0.02)
    result = train(tiny_config(epochs=4, lr=0.05, distill="wed", amp=amp), tmp_path / "run")
    assert result.history[-1].loss < result.history[0].loss / 2
    weights = load_checkpoint(result.last).weights
    assert all(v.dtype == torch.float32 for v in weights.values() if v.is_floating_point())


def test_the_scale_of_fp16_goes_on(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(amp="fp16", epochs=1), tmp_path / "run")
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["run"]["stepper"]
    assert state["scaler"]["scale"] > 1
    stepper = _stepper(_own_net(), tiny_config(amp="fp16"))
    assert stepper.scaler.get_scale() != 4.0
    stepper.load_state_dict({**stepper.state_dict(), "scaler": {**state["scaler"], "scale": 4.0}})
    assert stepper.scaler.get_scale() == 4.0


def test_a_step_whose_gradients_overflow_is_left_out(tiny_config: MakeConfig) -> None:
    net = _own_net()
    stepper = _stepper(net, tiny_config(amp="fp16"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    scale = stepper.scaler.state_dict()
    stepper.scaler.load_state_dict({**scale, "scale": 2.0**40})
    assert math.isfinite(stepper.step([_batch()])[0])
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert stepper.scaler.get_scale() == 2.0**39


def test_the_memory_format_changes_no_result(tmp_path: Path, tiny_config: MakeConfig) -> None:
    losses = [
        train(tiny_config(channels_last=last, epochs=1), tmp_path / str(last)).history[0].loss
        for last in (True, False, None)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[2] == losses[0]  # a registered backbone


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")
def test_a_compiled_network_learns_the_same(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(strategy="branches-only", distill="ofa", epochs=1)
    plain = train(config, tmp_path / "plain")
    compiled = train(replace(config, compile=True), tmp_path / "compiled")
    for first, second in zip(plain.history, compiled.history, strict=True):
        assert second.loss == pytest.approx(first.loss, rel=1e-3)
    names = load_checkpoint(plain.last).weights.keys()
    assert load_checkpoint(compiled.last).weights.keys() == names


def test_a_network_that_cannot_be_compiled(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(function: object) -> object:
        def call(images: Tensor) -> None:
            raise torch._dynamo.exc.TorchRuntimeError("no compiler found\nmore")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    message = (
        r"torch.compile cannot compile this network here \(no compiler found\): omit --compile"
    )
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(compile=True), tmp_path / "run")


def test_batches_that_cannot_be_had(tmp_path: Path, tiny_config: MakeConfig) -> None:
    message = "expected at least one batch of 32 training images, got 25 images: lower --batch-size"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(batch_size=32), tmp_path / "large")
    with pytest.raises(TrainingError, match=r"a batch of 8 images cannot be divided among 1 proc"):
        train(tiny_config(accumulate=8), tmp_path / "parts")
    with pytest.raises(ValueError, match="accumulate: expected a divisor of batch_size, 8, got 3"):
        tiny_config(accumulate=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sync_batch_norm": True},
            "--sync-batch-norm: torch synchronizes batch norm only on GP",
        ),
        ({"device": "cuda"}, "torch finds no CUDA device here; use --device cpu"),
    ],
)
def test_options_of_gpus(
    tmp_path: Path,
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=message):
        train(tiny_config(**options), tmp_path / "run")


def test_a_net_is_as_learnable_after_a_run_as_before(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    net = MultiExitNet(make_spec("resnet20", "1+1", 2, (3, 8, 8)))
    next(net.parameters()).requires_grad_(False)
    before = [p.requires_grad for p in net.parameters()]
    frozen = next(net.parameters()).clone()
    train(tiny_config(strategy="branches-only", epochs=1), tmp_path / "run", model=net)
    assert [p.requires_grad for p in net.parameters()] == before
    assert torch.equal(next(net.parameters()), frozen), "its author froze it"
