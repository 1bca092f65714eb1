from __future__ import annotations

import pytest

from edgeexit.data import DataConfig, list_datasets, load_data, register_dataset
from edgeexit.data import registry as registry_module
from edgeexit.data.dataset import ImageData
from edgeexit.errors import DataError, UnknownNameError


def test_the_data_sets_of_this_package_are_registered() -> None:
    assert {"digits", "cifar10", "cifar100", "imagefolder"} <= set(list_datasets())


def test_an_unknown_name_offers_the_close_one() -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'cifar': did you mean cifar10"):
        load_data(DataConfig("cifar"))


def test_a_new_data_set_is_one_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "_DATASETS", dict(registry_module._DATASETS))
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


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "imagefolder"])
def test_every_data_set_gives_three_channels(name: str) -> None:
    message = rf"{name}: images are read with 3 channels, got the input size \(1, 32, 32\)"
    with pytest.raises(DataError, match=message):
        load_data(DataConfig(name, input_size=(1, 32, 32)))


def test_a_size_below_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an input size of at least one pixel"):
        DataConfig("digits", input_size=(3, 0, 32))
