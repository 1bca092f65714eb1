"""A bundle's own answers are those of the network that it was made from."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from edgeexit.data import DataConfig
from edgeexit.errors import DataError
from edgeexit.evaluation import predict, predict_bundle
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import Checkpoint

SIZE = (3, 16, 16)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    spec = make_spec("resnet20", "1+n", 4, SIZE)
    return Checkpoint(
        spec=spec,
        weights=MultiExitNet(spec).state_dict(),
        preprocessing=ee.Preprocessing(SIZE, (0.5,) * 3, (0.25,) * 3),
        class_names=tuple("abcd"),
        thresholds={"exit1": ee.NEVER, "exit2": 0.3},
        data=DataConfig("digits"),
        training={},
        metrics={},
    )


def test_predictions_are_the_networks(checkpoint: Checkpoint, tmp_path: Path) -> None:
    images = torch.randn(11, *SIZE, generator=torch.Generator().manual_seed(1))
    dataset = TensorDataset(images, torch.arange(11) % 4)
    options = ExportOptions(PRECISIONS["fp32"], max_batch=4)
    export_bundle(checkpoint, tmp_path / "out", options, images.numpy(), "noise")
    done: list[int] = []
    with ee.load(tmp_path / "out", threads=1) as session:
        got = predict_bundle(session, dataset, progress=done.append)
        with pytest.raises(DataError, match="got an empty one"):
            predict_bundle(session, TensorDataset(images[:0], torch.empty(0)))
    want = predict(checkpoint.build(), dataset)
    assert got.exit_names == want.exit_names
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_array_equal(got.targets, want.targets)
    np.testing.assert_allclose(got.confidences, want.confidences, atol=1e-5)
    assert done == [4, 8, 11]
