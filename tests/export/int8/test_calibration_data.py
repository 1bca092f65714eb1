"""The sample set that travels with the code: whole, small, and from the training split alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from edgeexit.data import DataConfig, load_data

FOLDER = Path(__file__).parents[3] / "calibration_data" / "digits"
FILES = sorted(FOLDER.rglob("*.png"))


def test_ten_images_of_every_class_that_stay_small() -> None:
    classes = [path.parent.name for path in FILES]
    assert {name: classes.count(name) for name in classes} == dict.fromkeys("0123456789", 10)
    assert sum(path.stat().st_size for path in FILES) < 200_000


def test_images_are_those_of_the_training_split_alone() -> None:
    data = load_data(DataConfig("digits"))
    scale, offset = (
        np.float32(value[0]) for value in (data.preprocessing.std, data.preprocessing.mean)
    )
    found: dict[str, dict[bytes, set[str]]] = {}  # by split and pixels, uint8 (32, 32, 3)
    for split, dataset in data.splits.items():
        found[split] = {}
        for image, label in (dataset[index] for index in range(len(dataset))):
            pixels = ((image.numpy() * scale + offset) * 255).round().astype(np.uint8)
            key = pixels.transpose(1, 2, 0).tobytes()
            found[split].setdefault(key, set()).add(data.class_names[label])
    for path in FILES:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 32)), path
            pixels = np.asarray(image).tobytes()
        assert path.parent.name in found["train"][pixels], path
        assert pixels not in found["val"], path
        assert pixels not in found["test"], path
