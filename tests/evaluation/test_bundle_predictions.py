"""A bundle's own answers are those of the network that it was made from."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from edgeexit.errors import DataError
from edgeexit.evaluation import predict, predict_bundle
from edgeexit.models import make_spec
from edgeexit.planning.candidates import export_untrained, random_network

SIZE = (3, 16, 16)


def test_predictions_are_the_networks(tmp_path: Path) -> None:
    network = random_network(make_spec("resnet20", "1+n", 4, SIZE))
    images = torch.randn(11, *SIZE, generator=torch.Generator().manual_seed(1))
    dataset = TensorDataset(images, torch.arange(11) % 4)
    export_untrained(network, tmp_path / "out", max_batch=4)
    done: list[int] = []
    with ee.load(tmp_path / "out", threads=1) as session:
        got = predict_bundle(session, dataset, progress=done.append)
        with pytest.raises(DataError, match="got an empty one"):
            predict_bundle(session, TensorDataset(images[:0], torch.empty(0)))
    want = predict(network, dataset)
    assert got.exit_names == want.exit_names == network.spec.exit_names
    np.testing.assert_array_equal(got.labels, want.labels)
    np.testing.assert_array_equal(got.targets, want.targets)
    np.testing.assert_allclose(got.confidences, want.confidences, atol=1e-5)
    assert done == [4, 8, 11]
