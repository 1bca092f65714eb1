from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from edgeexit.data import DataConfig, ImageData, load_data
from edgeexit.data.augmentation import AUGMENTATIONS
from edgeexit.errors import DataError


def _write(folder: Path, count: int, size: tuple[int, int] = (40, 30), seed: int = 0) -> None:
    """Write ``count`` different images of ``size`` (width, height)."""
    folder.mkdir(parents=True)
    random = np.random.RandomState(seed)
    for i in range(count):
        pixels = random.randint(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")


def _tree(root: Path, splits: tuple[str, ...], count: int = 10) -> DataConfig:
    for i, split in enumerate(splits):
        for j, name in enumerate(("cat", "dog")):
            _write(root / split / name, count, seed=10 * i + j)
    return DataConfig("imagefolder", str(root), (3, 28, 28))


def _contents(data: ImageData) -> dict[str, set[bytes]]:
    return {
        name: {split[i][0].numpy().tobytes() for i in range(len(split))}
        for name, split in data.splits.items()
    }


@pytest.mark.parametrize(
    ("splits", "sizes"),
    [
        (("train", "val", "test"), {"train": 20, "val": 20, "test": 20}),
        (("train", "val"), {"train": 20, "val": 10, "test": 10}),
        (("",), {"train": 16, "val": 2, "test": 2}),
    ],
)
def test_splits_of_every_layout(
    tmp_path: Path, splits: tuple[str, ...], sizes: dict[str, int]
) -> None:
    data = load_data(_tree(tmp_path, splits))
    assert data.class_names == ("cat", "dog")
    assert {name: len(split) for name, split in data.splits.items()} == sizes
    contents = _contents(data)
    assert len(set().union(*contents.values())) == sum(sizes.values())
    labels = [data.splits["test"][i][1] for i in range(sizes["test"])]
    assert labels.count(0) == labels.count(1)


def test_sizes_are_the_papers_in_proportion(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("",))
    data = load_data(config)
    assert data.preprocessing.resize == 32
    assert data.training[0][0].shape == data.splits["val"][0][0].shape == (3, 28, 28)
    usual = load_data(DataConfig("imagefolder", config.data_dir))
    assert usual.preprocessing.input_size == (3, 224, 224)
    assert usual.preprocessing.resize == 256


def test_evaluation_images_are_what_the_runtime_makes_of_them(tmp_path: Path) -> None:
    data = load_data(_tree(tmp_path, ("train", "val", "test")))
    _write(tmp_path / "wide", 1, size=(80, 64))
    (tmp_path / "wide" / "000.png").replace(tmp_path / "test" / "cat" / "000.png")
    with Image.open(tmp_path / "test" / "cat" / "000.png") as image:
        resized = image.resize((40, 32), Image.Resampling.BILINEAR)  # the shorter side to 32
    central = np.array(resized.crop((6, 2, 34, 30)))
    expected = data.preprocessing(central[None])[0]
    assert np.abs(data.splits["test"][0][0].numpy() - expected).max() < 1e-6


def test_training_images_vary_and_keep_the_normalization(tmp_path: Path) -> None:
    data = load_data(_tree(tmp_path, ("train", "val")))
    with Image.open(tmp_path / "train" / "cat" / "000.png") as image:
        squeezed = v2.functional.resize(image, [32, 32], antialias=True)
    normalize = Preprocessing((3, 32, 32), data.preprocessing.mean, data.preprocessing.std)
    whole = torch.tensor(normalize(np.array(squeezed)[None])[0])
    crops = [whole[:, y : y + 28, x : x + 28] for y in range(5) for x in range(5)]
    variants = torch.stack([*crops, *(crop.flip(2) for crop in crops)])
    torch.manual_seed(0)
    found = set()
    for _ in range(20):
        distances = (variants - data.training[0][0]).abs().amax(dim=(1, 2, 3))
        assert distances.min() < 1e-5
        found.add(int(distances.argmin()))
    assert len(found) > 10


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("",))
    Image.new("L", (30, 30), 128).save(tmp_path / "cat" / "000.png")
    Image.new("RGBA", (30, 30), (9, 9, 9, 9)).save(tmp_path / "cat" / "001.png")
    data = load_data(config)
    assert sum(len(contents) for contents in _contents(data).values()) == 20


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("",))
    (tmp_path / ".cache").mkdir()
    assert load_data(config).class_names == ("cat", "dog")


def test_no_folder_given() -> None:
    with pytest.raises(DataError, match=r"imagefolder: expected the folder .* --data-dir"):
        load_data(DataConfig("imagefolder"))


def test_download_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be downloaded; omit --download"):
        load_data(DataConfig("imagefolder", str(tmp_path), download=True))


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; check --data-dir"):
        load_data(DataConfig("imagefolder", str(tmp_path / "nowhere")))


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected one folder per class .* at least 2, got none"):
        load_data(DataConfig("imagefolder", str(tmp_path)))


def test_class_folders_without_images(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("",))
    (tmp_path / "bird").mkdir()
    (tmp_path / "bird" / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"no images in .*bird, got 1 \.txt; put some"):
        load_data(config)


def test_train_without_val(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has train/ but no val/"):
        load_data(_tree(tmp_path, ("train",)))


def test_different_classes_in_val(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("train", "val"))
    (tmp_path / "val" / "dog").rename(tmp_path / "val" / "fox")
    with pytest.raises(DataError, match=r"val has the class fox, which .*train lacks; use"):
        load_data(config)
    (tmp_path / "val" / "fox").rename(tmp_path / "val" / "dog")
    for name in ("emu", "gnu"):
        _write(tmp_path / "train" / name, 1)
    message = "train has the class emu, which .*val lacks, and 1 more such; use the same class"
    with pytest.raises(DataError, match=message):
        load_data(config)


def test_images_are_held_out_as_the_paper_does(tmp_path: Path) -> None:
    config = replace(_tree(tmp_path, ("train", "val")), hold_out=3)
    data = load_data(config)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 14,
        "val": 6,
        "test": 20,
    }
    assert sorted(data.splits["val"].files.labels) == [0] * 3 + [1] * 3  # type: ignore[attr-defined]
    assert all("/train/" in path for path in data.splits["val"].files.paths)  # type: ignore[attr-defined]
    assert len(set().union(*_contents(data).values())) == 40
    assert _contents(load_data(config)) == _contents(data)


def test_images_are_held_out_of_one_tree(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("",))
    data = load_data(replace(config, hold_out=3))
    assert [len(split) for split in data.splits.values()] == [12, 6, 2]
    assert _contents(data)["test"] == _contents(load_data(config))["test"]


def test_more_held_out_than_there_is(tmp_path: Path) -> None:
    config = replace(_tree(tmp_path, ("train", "val")), hold_out=10)
    message = "expected more than 10 training images of class cat to hold out 10, got 10; lower"
    with pytest.raises(DataError, match=message):
        load_data(config)


def test_nothing_has_to_be_held_out(tmp_path: Path) -> None:
    config = replace(_tree(tmp_path, ("train", "val", "test")), hold_out=2)
    with pytest.raises(DataError, match="so nothing has to be held out; omit --hold-out"):
        load_data(config)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path: Path, kind: str) -> None:
    config = _tree(tmp_path, ("train", "val", "test"))
    broken = [tmp_path / "train" / "cat" / f"broken{i}.{kind}" for i in range(2)]
    noise = np.random.RandomState(0).randint(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(broken[0])
    broken[0].write_bytes(broken[0].read_bytes()[:-200])
    broken[1].write_text("no image")
    assert load_data(config).skipped == ()
    data = load_data(replace(config, skip_corrupt=True))
    assert data.skipped == tuple(map(str, broken))
    assert len(data.training) == 20
    assert len(list(DataLoader(data.training, 20))) == 1


def test_a_class_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("train", "val", "test"), count=2)
    for path in (tmp_path / "val" / "dog").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="none of the images of class dog can be read; replace"):
        load_data(replace(config, skip_corrupt=True))


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
def test_every_augmentation_gives_the_size(tmp_path: Path, name: str) -> None:
    data = load_data(replace(_tree(tmp_path, ("train", "val")), augmentation=name))
    assert data.augmentation == name
    torch.manual_seed(0)
    first, second = data.training[0][0], data.training[0][0]
    assert first.shape == (3, 28, 28)
    assert torch.equal(first, second) == (name == "none")
    if name == "none":
        assert torch.equal(first, data.splits["train"][0][0])


def test_images_are_moved_by_a_share_of_each_side() -> None:
    (move,) = AUGMENTATIONS["crop"].steps((16, 64), 4 / 32)
    image = torch.ones(1, 16, 64, dtype=torch.uint8)
    torch.manual_seed(0)
    moved = torch.cat([move(image) for _ in range(300)])  # zeros where nothing was
    rows, columns = (16 - moved.amax(2).sum(1)), (64 - moved.amax(1).sum(1))
    assert (rows.max(), columns.max()) == (2, 8)


def _damaged(tmp_path: Path) -> ImageData:
    config = _tree(tmp_path, ("train", "val", "test"))
    path = tmp_path / "val" / "cat" / "000.png"
    path.write_bytes(path.read_bytes()[:200])
    return load_data(config)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    data = _damaged(tmp_path)
    with pytest.raises(DataError, match=r"val/cat/000\.png: not a readable image") as caught:
        data.splits["val"][0]
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_damaged_image_is_named_in_one_line_by_a_worker_process(tmp_path: Path) -> None:
    loader = DataLoader(_damaged(tmp_path).splits["val"], num_workers=1)
    with pytest.raises(DataError) as caught:
        next(iter(loader))
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert "000.png: not a readable image" in message
    assert "\n" not in message


def test_the_limit_of_pixels_holds_for_every_split(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("train", "val", "test"), count=2)  # 40 x 30 pixels
    small = load_data(replace(config, max_pixels=1199))
    for images in (small.training, *small.splits.values()):
        with pytest.raises(DataError, match=r"00\d\.png: 40x30 are 1,200 pixels, more than 1,199;"):
            images[0]
    assert load_data(replace(config, max_pixels=1200)).training[0][0].shape == (3, 28, 28)
    with pytest.raises(DataError, match="none of the images of class cat can be read"):
        load_data(replace(config, max_pixels=1199, skip_corrupt=True))


def test_grey_images_of_any_shape(tmp_path: Path) -> None:
    config = replace(_tree(tmp_path, ("train", "val")), input_size=(1, 18, 32))
    data = load_data(config)
    assert data.preprocessing == Preprocessing((1, 18, 32), (0.459,), (0.226,), resize=21)
    assert data.training[0][0].shape == data.splits["val"][0][0].shape == (1, 18, 32)


def test_wide_training_images_are_resized_to_the_networks_shape(tmp_path: Path) -> None:
    """Squeezed, to 256/224 of both sides, of which a part of the size is taken."""
    config = replace(_tree(tmp_path, ("train", "val")), input_size=(3, 14, 56))
    data = load_data(config)
    with Image.open(tmp_path / "train" / "cat" / "000.png") as image:
        squeezed = v2.functional.resize(image, [16, 64], antialias=True)
    normalize = Preprocessing((3, 16, 64), data.preprocessing.mean, data.preprocessing.std)
    whole = torch.tensor(normalize(np.array(squeezed)[None])[0])
    crops = [whole[:, y : y + 14, x : x + 56] for y in range(3) for x in range(9)]
    variants = torch.stack([*crops, *(crop.flip(2) for crop in crops)])
    torch.manual_seed(0)
    for _ in range(5):
        assert (variants - data.training[0][0]).abs().amax(dim=(1, 2, 3)).min() < 1e-5


def test_a_network_of_another_shape_sees_what_the_runtime_sees(tmp_path: Path) -> None:
    config = replace(_tree(tmp_path, ("train", "val", "test")), input_size=(3, 14, 56))
    data = load_data(config)
    assert data.preprocessing.resize == 16
    with Image.open(tmp_path / "test" / "cat" / "000.png") as image:  # 40 x 30
        resized = image.resize((64, 48), Image.Resampling.BILINEAR)  # the widths match
    expected = data.preprocessing(np.array(resized.crop((4, 17, 60, 31)))[None])[0]
    assert np.abs(data.splits["test"][0][0].numpy() - expected).max() < 1e-6
