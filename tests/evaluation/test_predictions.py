from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from edgeexit.errors import CheckpointError, DataError
from edgeexit.evaluation import ExitPredictions, predict


class TwoExits(nn.Module):
    """Logits that are the images themselves, and their negatives; batch norm to see the mode."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        self.norm = nn.BatchNorm1d(3)
        self.modes: list[bool] = []

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        self.modes.append(self.norm.training)
        logits = images.to(self.dtype)
        return {"exit1": logits, "final": -logits}


def samples(count: int) -> TensorDataset:
    random = torch.Generator().manual_seed(3)
    images = 4 * torch.randn(count, 3, generator=random)
    return TensorDataset(images, torch.randint(3, (count,), generator=random))


def test_predictions_are_the_largest_softmax_value_and_its_class() -> None:
    data = samples(11)
    images, targets = data.tensors
    torch.manual_seed(0)
    state = torch.get_rng_state()
    done: list[int] = []

    predictions = predict(TwoExits(), data, batch_size=4, progress=done.append)

    assert done == [4, 8, 11]
    assert torch.equal(state, torch.get_rng_state()), "a training loop may call it"
    assert predictions.exit_names == ("exit1", "final")
    assert predictions.confidences.dtype == np.float32
    assert predictions.labels.dtype == predictions.targets.dtype == np.int64
    assert predictions.targets.tolist() == targets.tolist()
    for row, logits in enumerate((images, -images)):
        for n in range(11):
            powers = logits[n].double().exp()
            expected = float(powers.max() / powers.sum())
            assert predictions.confidences[row, n] == pytest.approx(expected, rel=1e-6)
            assert predictions.labels[row, n] == int(logits[n].argmax())
            assert predictions.correct[row, n] == (int(logits[n].argmax()) == int(targets[n]))


def test_softmax_is_computed_in_float32_for_half_precision_logits() -> None:
    data = TensorDataset(torch.tensor([[8.0, 0.0, 0.0]]), torch.tensor([0]))
    predictions = predict(TwoExits(torch.float16), data)
    # float16 has no value between 0.99951 and 1
    assert predictions.confidences[0, 0] == pytest.approx(1 / (1 + 2 * np.exp(-8.0)), abs=1e-7)


@pytest.mark.parametrize("training", [True, False])
def test_modes_are_restored_module_by_module_and_after_an_error(training: bool) -> None:
    net = TwoExits().train(training)
    net.norm.train(not training)  # as a frozen batch norm in a network that trains

    predict(net, samples(5), batch_size=2)
    assert net.modes == [False] * 3
    with pytest.raises(TypeError):
        predict(net, samples(5), batch_size=2, progress=lambda: None)  # type: ignore[arg-type,misc]

    assert net.training is training
    assert net.norm.training is not training


def test_an_empty_data_set_is_an_error() -> None:
    with pytest.raises(DataError, match=r"expected a data set with samples.*got an empty one"):
        predict(TwoExits(), samples(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_logits_that_are_not_finite_are_no_answer(value: float) -> None:
    data = TensorDataset(torch.tensor([[0.0, 1.0, 0.0], [0.0, value, 0.0]]), torch.tensor([1, 1]))
    with pytest.raises(CheckpointError, match="finite logits of exit1, got NaN or infinity"):
        predict(TwoExits(torch.float16), data)  # which has no value above 65504


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected .* of shape \(1, 2\), got \(1, 3\)"):
        ExitPredictions(
            ("final",),
            np.zeros((1, 3), np.float32),
            np.zeros((1, 2), np.int64),
            np.zeros(2, np.int64),
        )
