from __future__ import annotations

from collections import UserList
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from support.registries import keep_registries

from edgeexit.data import DataConfig, list_datasets, load_data, register_dataset
from edgeexit.data import registry as registry_module
from edgeexit.data.dataset import ImageArrays, ImageData
from edgeexit.data.transforms import compose
from edgeexit.errors import DataError, UnknownNameError


def test_the_data_sets_of_this_package_are_registered() -> None:
    assert {"digits", "cifar10", "cifar100", "imagefolder"} <= set(list_datasets())


def test_an_unknown_name_offers_the_close_one() -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'cifar': did you mean cifar10"):
        load_data(DataConfig("cifar"))


def test_a_new_data_set_is_one_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mine" not in list_datasets()
    keep_registries(monkeypatch)
    asked: list[DataConfig] = []

    @register_dataset
    def mine(config: DataConfig) -> ImageData:
        asked.append(config)
        raise DataError("mine: seen")

    config = DataConfig("mine", input_size=(3, 8, 8))
    with pytest.raises(DataError, match="mine: seen"):
        load_data(config)
    assert asked == [config]
    assert "mine" in list_datasets()

    def again(config: DataConfig) -> ImageData:
        raise AssertionError

    again.__name__ = "mine"
    with pytest.raises(ValueError, match="data set 'mine' is registered already; choose another"):
        register_dataset(again)


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "imagefolder"])
def test_images_have_three_channels_or_one(name: str) -> None:
    message = f"{name}: images are read with 3 channels, or as grey with 1, got 2"
    with pytest.raises(DataError, match=message):
        load_data(DataConfig(name, input_size=(2, 32, 32)))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_coloured_data_sets_stay_coloured(name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: its images have 3 channels, got 1; use 3"):
        load_data(DataConfig(name, input_size=(1, 32, 32)))


def test_channels_may_be_asked_for_without_a_size() -> None:
    config = DataConfig("digits", channels=1)
    assert config.size_or((3, 28, 30)) == (1, 28, 30)
    assert load_data(config).preprocessing.input_size == (1, 32, 32)
    assert DataConfig("digits", input_size=(3, 8, 9)).size_or((3, 28, 28)) == (3, 8, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": (3, 8, 8), "channels": 1}, "channels: expected those of the .* got 1"),
        ({"input_size": (3, 0, 32)}, "expected an input size of at least one pixel"),
        ({"hold_out": 0}, "hold_out: expected at least one image per class, got 0"),
    ],
)
def test_configurations_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig("digits", **options)


def _labelled(labels: list[int]) -> Callable[[DataConfig], ImageData]:
    def load(config: DataConfig) -> ImageData:
        preprocessing = Preprocessing((3, 8, 8), (0.5,) * 3, (0.25,) * 3)
        images = torch.zeros(len(labels), 3, 8, 8, dtype=torch.uint8)
        arrays = ImageArrays(images, labels, compose([], preprocessing))
        return ImageData(("a", "b"), preprocessing, arrays, dict.fromkeys(["train"], arrays))

    return load


def test_a_fingerprint_is_of_the_labels_whatever_holds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = [number % 2 for number in range(2000)]
    changed = [*labels[:1000], 1, *labels[1001:]]

    def fingerprint(held: Any) -> str:
        data = _labelled(labels)(DataConfig("mine"))
        data.splits["train"].labels = held  # type: ignore[attr-defined]
        entry = registry_module.DatasetEntry(lambda _: data, any_size=False)
        monkeypatch.setitem(registry_module._DATASETS._values, "mine", entry)
        return load_data(DataConfig("mine")).fingerprint

    expected = fingerprint(labels)
    for kind in (np.array, torch.tensor, lambda it: list(np.array(it)), UserList):
        assert fingerprint(kind(labels)) == expected
        assert fingerprint(kind(changed)) != expected


@pytest.mark.parametrize(("labels", "wrong"), [([0, 1, 2], 2), ([-1, 0, 1], -1)])
def test_labels_that_are_no_class_are_found_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, labels: list[int], wrong: int
) -> None:
    monkeypatch.setitem(
        registry_module._DATASETS._values,
        "mine",
        registry_module.DatasetEntry(_labelled(labels), any_size=False),
    )
    message = f"mine: expected labels of 0 to 1, got {wrong} in train; the files are damaged or"
    with pytest.raises(DataError, match=message):
        load_data(DataConfig("mine"))


def test_images_in_memory_cannot_be_left_out() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(DataError, match="digits: its images are not single files that could be"):
        load_data(DataConfig("digits", skip_corrupt=True))
