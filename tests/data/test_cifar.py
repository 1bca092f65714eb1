from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from edgeexit.data import DataConfig, ImageData, load_data
from edgeexit.errors import DataError

IMAGES_PER_FILE = 20


def _batch(random: np.random.RandomState, label_key: str, classes: int) -> dict[str, Any]:
    return {
        "data": random.randint(0, 256, (IMAGES_PER_FILE, 3 * 32 * 32)).astype(np.uint8),
        label_key: [i % classes for i in range(IMAGES_PER_FILE)],
    }


@pytest.fixture(params=["cifar10", "cifar100"])
def config(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DataConfig:
    """A folder in the real format with few images, whose checksums torchvision accepts."""
    cifar10 = request.param == "cifar10"
    kind = torchvision.datasets.CIFAR10 if cifar10 else torchvision.datasets.CIFAR100
    classes, label_key = (10, "labels") if cifar10 else (100, "fine_labels")
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    random = np.random.RandomState(0)

    def write(name: str, content: Any) -> str:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    for attribute in ("train_list", "test_list"):
        files = [
            [name, write(name, _batch(random, label_key, classes))]
            for name, _ in getattr(kind, attribute)
        ]
        monkeypatch.setattr(kind, attribute, files)
    names = {kind.meta["key"]: [f"class{i}" for i in range(classes)]}
    checksum = write(kind.meta["filename"], names)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": checksum})
    return DataConfig(request.param, str(tmp_path))


def _stack(data: ImageData, split: str) -> torch.Tensor:
    return torch.stack([data.splits[split][i][0] for i in range(len(data.splits[split]))])


def test_a_tenth_of_the_training_images_is_held_out(config: DataConfig) -> None:
    data = load_data(config)
    total = IMAGES_PER_FILE * (5 if config.name == "cifar10" else 1)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": total * 9 // 10, "val": total // 10, "test": IMAGES_PER_FILE}
    assert len(data.training) == sizes["train"]
    assert data.class_names[:2] == ("class0", "class1")
    contents = [image.numpy().tobytes() for name in data.splits for image in _stack(data, name)]
    assert len(set(contents)) == len(contents) == total + IMAGES_PER_FILE


def test_evaluation_images_are_what_the_runtime_makes_of_them(config: DataConfig) -> None:
    data = load_data(config)
    kind = getattr(torchvision.datasets, config.name.upper())
    source = kind(config.data_dir, train=False)
    expected = data.preprocessing(source.data)
    assert np.abs(_stack(data, "test").numpy() - expected).max() < 1e-6
    assert [data.splits["test"][i][1] for i in range(IMAGES_PER_FILE)] == source.targets


def test_training_images_are_cropped_and_flipped(config: DataConfig) -> None:
    data = load_data(config)
    plain = data.splits["train"][0][0]
    # padded with black, which is -mean / std after normalization
    black = torch.tensor(data.preprocessing(np.zeros((1, 32, 32, 3), np.uint8))[0])
    padded = black[:, :1, :1].repeat(1, 40, 40)
    padded[:, 4:36, 4:36] = plain
    crops = [padded[:, y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
    variants = torch.stack([*crops, *(crop.flip(2) for crop in crops)])
    torch.manual_seed(0)
    found = set()
    for _ in range(30):
        distances = (variants - data.training[0][0]).abs().amax(dim=(1, 2, 3))
        assert distances.min() < 1e-5
        found.add(int(distances.argmin()))
    assert len(found) > 15
    assert {index < len(crops) for index in found} == {True, False}  # flipped and not


def test_another_input_size(config: DataConfig) -> None:
    data = load_data(DataConfig(config.name, config.data_dir, (3, 48, 48)))
    assert data.preprocessing.input_size == (3, 48, 48)
    assert data.training[0][0].shape == data.splits["val"][0][0].shape == (3, 48, 48)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_files_say_what_to_do(name: str, tmp_path: Path) -> None:
    kind = getattr(torchvision.datasets, name.upper())
    message = (
        f"{name}: {kind.base_folder} is missing or damaged in .*{tmp_path.name}.*; "
        f"add --download or unpack {kind.filename} there"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataConfig(name, str(tmp_path)))


def test_a_damaged_file_is_reported(config: DataConfig) -> None:
    kind = getattr(torchvision.datasets, config.name.upper())
    assert config.data_dir is not None
    path = Path(config.data_dir) / kind.base_folder / kind.test_list[0][0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="is missing or damaged"):
        load_data(config)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fail)
    message = "cifar10: could not be fetched into .*no route to host.* by hand"
    with pytest.raises(DataError, match=message):
        load_data(DataConfig("cifar10", str(tmp_path), download=True))
