from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeexit.errors import TrainingError
from edgeexit.models.spec import FeatureInfo
from edgeexit.paper.consistency import FitSettings
from edgeexit.paper.consistency.features import Features, feature_statistics
from edgeexit.paper.consistency.reconstruction import Reconstruction, fit_reconstruction

INFOS = (FeatureInfo("fine", (4, 6, 6)), FeatureInfo("coarse", (2, 3, 3)))
IMAGES = 64


class Given:
    def __init__(self, features: Features) -> None:
        self.features = features

    def __len__(self) -> int:
        return IMAGES

    def in_order(self) -> Iterator[Features]:
        return self.batches([range(IMAGES)])

    def batches(self, batches: Sequence[Sequence[int]]) -> Iterator[Features]:
        for batch in batches:
            yield {name: tensor[list(batch)] for name, tensor in self.features.items()}


def features(seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return {info.name: torch.randn(IMAGES, *info.shape, generator=generator) for info in INFOS}


def fit(
    source: Features, target: Features, depth: int = 0, seed: int = 0, **options: Any
) -> tuple[Reconstruction, float]:
    """Return the fitted reconstruction, and the share of the variance that it leaves."""
    given: Any = Given(source)
    wanted: Any = Given(target)
    statistics = feature_statistics(wanted)
    torch.manual_seed(seed)
    network = Reconstruction(INFOS, depth, statistics.signed)
    settings = FitSettings(**{"batch_size": 16, **options})
    mse = fit_reconstruction(network, given, wanted, settings, seed, lambda steps: None)
    return network, mse / statistics.variance


def kinds(chain: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in chain.children()]


def test_layers_are_those_of_equation_4() -> None:
    network = Reconstruction(INFOS, 2, ())
    triple = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert [kinds(chain) for chain in network.chains] == [["Conv2d", *triple, *triple]] * 2
    assert kinds(Reconstruction(INFOS, 0, ()).chains[0]) == ["Conv2d"]
    shapes = {name: tuple(t.shape[1:]) for name, t in network(features(0)).items()}
    assert shapes == {info.name: info.shape for info in INFOS}


def test_what_is_below_zero_can_be_reconstructed() -> None:
    network = Reconstruction(INFOS, 1, {"fine"})
    given, (fine, coarse) = network(features(0)), network.chains
    assert kinds(fine) == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert kinds(coarse) == ["Conv2d", "Conv2d", "BatchNorm2d", "ReLU"]
    assert given["fine"].min() < 0 <= given["coarse"].min()


def test_a_linear_map_is_found_and_a_random_one_is_not() -> None:
    source = features(0)
    maps = {info.name: nn.Conv2d(info.shape[0], info.shape[0], 3, padding=1) for info in INFOS}
    with torch.no_grad():
        target = {name: maps[name](tensor) for name, tensor in source.items()}
    options = {"epochs": 60, "lr": 0.2, "decay_epochs": 25}
    network, unexplained = fit(source, target, **options)
    assert unexplained < 0.01
    assert not network.training
    torch.testing.assert_close(network(source), target, atol=0.2, rtol=0.1)
    assert fit(source, features(1), **options)[1] > 0.8


def test_a_fit_depends_on_its_seed_alone() -> None:
    def weights(seed: int) -> Tensor:
        network, _ = fit(features(0), features(1), depth=1, seed=seed, epochs=2)
        return nn.utils.parameters_to_vector(network.parameters())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_the_rate_falls_every_three_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, *args: Any, **options: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    fit(features(0), features(1), batch_size=IMAGES)
    expected = [0.01] * 3 + [0.001] * 3 + [0.0001] * 3 + [0.00001]
    assert rates == pytest.approx(expected)
    assert FitSettings().steps(IMAGES) == len(rates)
    assert FitSettings().steps(50) == 10, "a batch is not larger than what there is"


def test_an_error_that_is_not_finite() -> None:
    with pytest.raises(TrainingError, match=r"is (inf|nan) after epoch \d: lower --lr, 1e\+20 is"):
        fit(features(0), features(1), lr=1e20)


def test_settings_out_of_range_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="epochs: expected at least 1, got 0; lr: expected above"):
        FitSettings(epochs=0, lr=0)
