"""The sample set that travels with the code: whole, small, and from the training split alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeexit.data import DataConfig, load_data

FOLDER = Path(__file__).parents[3] / "calibration_data" / "digits"
FILES = sorted(FOLDER.rglob("*.png"))


@pytest.fixture(scope="module")
def splits() -> dict[str, dict[bytes, set[str]]]:
    """The pixels of each split's images, uint8 (32, 32, 3), and the classes that have them."""
    data = load_data(DataConfig("digits"))
    scale, offset = (
        np.float32(value[0]) for value in (data.preprocessing.std, data.preprocessing.mean)
    )
    found: dict[str, dict[bytes, set[str]]] = {}
    for split, dataset in data.splits.items():
        found[split] = {}
        for index in range(len(dataset)):
            image, label = dataset[index]
            pixels = ((image.numpy() * scale + offset) * 255).round().astype(np.uint8)
            key = pixels.transpose(1, 2, 0).tobytes()
            found[split].setdefault(key, set()).add(data.class_names[label])
    return found


def test_ten_images_of_every_class() -> None:
    classes = [path.parent.name for path in FILES]
    assert {name: classes.count(name) for name in classes} == dict.fromkeys("0123456789", 10)


def test_it_stays_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 200_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_image_is_one_of_the_training_split(
    path: Path, splits: dict[str, dict[bytes, set[str]]]
) -> None:
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32))
        pixels = np.asarray(image).tobytes()
    assert path.parent.name in splits["train"][pixels]
    assert pixels not in splits["val"]
    assert pixels not in splits["test"]
