from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing
from PIL import Image
from support.messages import refused
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


def test_a_changed_folder_is_noted(tmp_path: Path) -> None:
    config = _tree(tmp_path / "photos", ("",), count=30)
    before = load_data(config)
    trained = replace(config, fingerprint=before.fingerprint)
    assert load_data(trained).notes == before.notes
    trained_on = _contents(before)["train"]
    moved = (tmp_path / "photos").rename(tmp_path / "moved")
    assert load_data(replace(trained, data_dir=f"{moved}/")).notes == before.notes
    (moved / "cat" / "000.png").unlink()
    changed = load_data(replace(trained, data_dir=str(moved)))
    assert "not those" in changed.notes[-1]
    # the reason: images that were trained on are now in the other splits
    found = _contents(changed)
    assert trained_on & (found["val"] | found["test"])


@pytest.mark.parametrize("splits", [("",), ("train", "val")])
def test_a_folder_is_the_same_by_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: tuple[str, ...]
) -> None:
    root = tmp_path / "photos"
    config = _tree(root, splits)
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(root)
    paths = (str(root), ".", f"../{root.name}/", "../link")
    found = {load_data(replace(config, data_dir=path)).fingerprint for path in paths}
    assert len(found) == 1


def test_sizes_are_the_papers_in_proportion(tmp_path: Path) -> None:
    config = _tree(tmp_path, ("",))
    data = load_data(config)
    assert data.preprocessing.resize == 32
    assert data.training[0][0].shape == data.splits["val"][0][0].shape == (3, 28, 28)
    usual = load_data(DataConfig("imagefolder", config.data_dir))
    assert usual.preprocessing.input_size == (3, 224, 224)
    assert usual.preprocessing.resize == 256


@pytest.mark.parametrize(
    ("size", "image_size", "resized", "crop"),
    [
        ((28, 28), (80, 64), (40, 32), (6, 2, 34, 30)),  # the shorter side to 32
        ((14, 56), (40, 30), (64, 48), (4, 17, 60, 31)),  # the widths match
    ],
)
def test_evaluation_images_are_what_the_runtime_makes_of_them(
    tmp_path: Path,
    size: tuple[int, int],
    image_size: tuple[int, int],
    resized: tuple[int, int],
    crop: tuple[int, int, int, int],
) -> None:
    config = replace(_tree(tmp_path, ("train", "val", "test")), input_size=(3, *size))
    _write(tmp_path / "other", 1, size=image_size)
    path = tmp_path / "test" / "cat" / "000.png"
    (tmp_path / "other" / "000.png").replace(path)
    data = load_data(config)
    with Image.open(path) as image:
        central = np.array(image.resize(resized, Image.Resampling.BILINEAR).crop(crop))
    expected = data.preprocessing(central[None])[0]
    assert np.abs(data.splits["test"][0][0].numpy() - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("size", "squeezed"), [((28, 28), (32, 32)), ((14, 56), (16, 64))], ids=["square", "wide"]
)
def test_training_images_vary_and_keep_the_normalization(
    tmp_path: Path, size: tuple[int, int], squeezed: tuple[int, int]
) -> None:
    """They are resized to 256/224 of both sides, of which a part of the size is taken."""
    config = replace(_tree(tmp_path, ("train", "val")), input_size=(3, *size))
    data = load_data(config)
    with Image.open(tmp_path / "train" / "cat" / "000.png") as image:
        pixels = np.array(v2.functional.resize(image, list(squeezed), antialias=True))
    normalize = Preprocessing((3, *squeezed), data.preprocessing.mean, data.preprocessing.std)
    whole = torch.tensor(normalize(pixels[None])[0])
    rows, columns = (range(a - b + 1) for a, b in zip(squeezed, size, strict=True))
    crops = [whole[:, y : y + size[0], x : x + size[1]] for y in rows for x in columns]
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


@pytest.mark.parametrize(
    ("folder", "download", "message"),
    [
        (None, False, r"imagefolder: expected the folder .* --data-dir"),
        ("nowhere", True, "cannot be downloaded; omit --download"),
        ("nowhere", False, "there is no folder nowhere; check --data-dir"),
    ],
)
def test_folders_that_are_not_given(folder: str | None, download: bool, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(DataConfig("imagefolder", folder, download=download))


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


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    config = _tree(tmp_path, ("train", "val", "test"))
    path = tmp_path / "val" / "cat" / "000.png"
    path.write_bytes(path.read_bytes()[:200])
    loader = DataLoader(load_data(config).splits["val"], num_workers=workers)
    with refused(DataError, f"{path}: not a readable image"):
        next(iter(loader))


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
