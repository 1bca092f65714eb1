from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from edgeexit.data import DataConfig, load_data
from edgeexit.data.dataset import ImageDataset, Sample
from edgeexit.data.seeded import Seeded
from edgeexit.errors import UnknownNameError


class Noise(ImageDataset):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Sample:
        return torch.rand(3), index


def test_an_item_depends_on_the_seed_and_its_index_alone() -> None:
    first, same, other = (Seeded(Noise(), seed) for seed in (5, 5, 6))
    forward = [first[i][0] for i in range(40)]
    torch.rand(7)
    backward = [same[i][0] for i in reversed(range(40))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    values = {tuple(v.tolist()) for v in [*forward, *(other[i][0] for i in range(40))]}
    assert len(values) == 80


def test_the_random_numbers_of_others_go_on() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    Seeded(Noise(), 0)[3]
    assert torch.equal(torch.rand(2), expected)


def test_worker_processes_give_the_same() -> None:
    dataset = Seeded(Noise(), 5)
    batches = [
        torch.cat([images for images, _ in DataLoader(dataset, 10, num_workers=workers)])
        for workers in (0, 2)
    ]
    assert torch.equal(*batches)


def test_digits_vary_from_epoch_to_epoch() -> None:
    pytest.importorskip("sklearn")
    training = load_data(DataConfig("digits")).training
    images = [Seeded(training, seed)[0][0] for seed in range(8)]
    assert len({image.numpy().tobytes() for image in images}) > 3


def test_an_unknown_augmentation() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(UnknownNameError, match="unknown augmentation 'crop-flp': did you mean"):
        load_data(DataConfig("digits", augmentation="crop-flp"))


def test_digits_are_held_out_from_all_but_the_test_images() -> None:
    pytest.importorskip("sklearn")
    usual, held = (load_data(DataConfig("digits", hold_out=n)) for n in (None, 40))
    assert [len(split) for split in held.splits.values()] == [1438 - 400, 400, 359]
    assert sorted(held.splits["val"].labels) == sorted(list(range(10)) * 40)  # type: ignore[attr-defined]
    assert torch.equal(held.splits["test"].images, usual.splits["test"].images)  # type: ignore[attr-defined]
