"""Make ``digits/``: 100 images of scikit-learn's handwritten digits, ten of each class.

They come from the training split alone, so that nothing is calibrated on what a network is judged
by. Run it from anywhere; it writes the same files every time::

    python calibration_data/make_digits.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeexit.data import DataConfig, load_data

FOLDER = Path(__file__).resolve().parent / "digits"
PER_CLASS = 10


def main() -> None:
    data = load_data(DataConfig("digits"))
    training = data.splits["train"]
    scale = np.asarray(data.preprocessing.std, np.float32)[:, None, None]
    offset = np.asarray(data.preprocessing.mean, np.float32)[:, None, None]
    written = dict.fromkeys(data.class_names, 0)
    for index in range(len(training)):
        image, label = training[index]
        name = data.class_names[label]
        if written[name] < PER_CLASS:
            save(image.numpy() * scale + offset, FOLDER / name / f"{written[name]:02d}.png")
            written[name] += 1


def save(image: NDArray[np.float32], path: Path) -> None:
    """Write an image (C, H, W) with values 0 to 1 as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (image * 255).round().clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(path, optimize=True)


if __name__ == "__main__":
    main()
