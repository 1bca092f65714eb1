from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from edgeexit.evaluation import ExitPredictions
from edgeexit.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    collect_logits,
    expected_calibration_error,
    fit_temperature,
)
from edgeexit.models import MultiExitNet, make_spec


def nll(logits: Tensor, targets: Tensor, temperature: float) -> float:
    return float(nn.functional.cross_entropy(logits.double() / temperature, targets))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_the_classes_were_drawn_with_is_found(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(20_000, 5, generator=generator)
    targets = torch.multinomial((logits / true).softmax(1), 1, generator=generator).squeeze(1)
    found = fit_temperature(logits, targets)
    assert found == pytest.approx(true, rel=0.05)
    best = nll(logits, targets, found)
    assert best <= min(nll(logits, targets, found * factor) for factor in (0.999, 1.001))


def test_the_ends_of_the_range() -> None:
    logits = torch.eye(3) * 5
    assert fit_temperature(logits, torch.tensor([0, 1, 2])) == pytest.approx(MIN_TEMPERATURE)
    assert fit_temperature(logits, torch.tensor([1, 2, 0])) == pytest.approx(MAX_TEMPERATURE)
    assert 0.05 <= fit_temperature(1e38 * logits, torch.tensor([0, 1, 2])) <= 20


@pytest.mark.parametrize(
    ("confidences", "labels", "expected"),
    [
        # two bins are hit: (0.6, 0.667] with one right of two, (0.933, 1] with one right of one
        ([0.62, 0.66, 1.0], [0, 1, 0], (abs((0.62 + 0.66) / 2 - 1 / 2) * 2 + 0) / 3),
        # bins are closed above: apart it would be (|0.95 - 1| + |1 - 0|) / 2
        ([0.95, 1.0], [0, 1], abs(1.95 - 1) / 2),
    ],
)
def test_calibration_error_written_out(
    confidences: list[float], labels: list[int], expected: float
) -> None:
    predictions = ExitPredictions(
        ("final",),
        np.array([confidences], np.float32),
        np.array([labels]),
        np.zeros(len(labels), np.int64),
    )
    assert expected_calibration_error(predictions) == {"final": pytest.approx(expected, abs=1e-6)}


def test_logits_of_all_exits_are_collected() -> None:
    torch.manual_seed(0)
    net = MultiExitNet(make_spec("resnet20", "1+1", 3, (3, 8, 8)))
    images = torch.randn(5, 3, 8, 8)
    done: list[int] = []
    logits, targets = collect_logits(
        net, TensorDataset(images, torch.arange(5)), batch_size=2, progress=done.append
    )
    assert targets.tolist() == [0, 1, 2, 3, 4]
    assert done == [2, 4, 5]
    assert net.training
    with torch.inference_mode():
        expected = net.eval()(images)
    for name, tensor in expected.items():
        torch.testing.assert_close(logits[name], tensor)
