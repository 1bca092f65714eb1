"""Arrays that are said to be normalized: what they look like where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from edgeexit_runtime.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.npz import normalization_doubt

IMAGENET = Preprocessing((3, 8, 8), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = Preprocessing((3, 8, 8), (0.0,) * 3, (1.0,) * 3)
CENTERED = Preprocessing((3, 8, 8), (0.5,) * 3, (1.0,) * 3)

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
PIXELS[0, 0, 0], PIXELS[0, 0, 1] = 0, 255
AS_CHANNELS = PIXELS.transpose(0, 3, 1, 2).astype(np.float32)
UNDIVIDED = "0 to 255, neither divided by 255 nor normalized"
DIVIDED = "0 to 1, divided by 255 and not normalized"


@pytest.mark.parametrize("preprocessing", [IMAGENET, PLAIN, CENTERED])
@pytest.mark.parametrize("scale", [1, 1.05, 0.3])  # resampling overshoots, gray ones are narrower
def test_what_normalizing_gives(preprocessing: Preprocessing, scale: float) -> None:
    assert normalization_doubt(np.float32(scale) * preprocessing(PIXELS), preprocessing) is None


@pytest.mark.parametrize(
    ("images", "preprocessing", "got", "likely", "expected"),
    [
        (AS_CHANNELS, IMAGENET, "0 to 255", UNDIVIDED, "-2.12 to 2.64"),
        (AS_CHANNELS, PLAIN, "0 to 255", UNDIVIDED, "0 to 1"),
        (AS_CHANNELS / 255, IMAGENET, "0 to 1", DIVIDED, "-2.12 to 2.64"),
        (AS_CHANNELS / 255, CENTERED, "0 to 1", DIVIDED, "-0.5 to 0.5"),
        (IMAGENET(PIXELS), CENTERED, "-2.12 to 2.64", "normalized otherwise", "-0.5 to 0.5"),
        (IMAGENET(PIXELS), PLAIN, "-2.12 to 2.64", "normalized otherwise", "0 to 1"),
        (-1 - AS_CHANNELS, IMAGENET, "-256 to -1", "normalized otherwise", "-2.12 to 2.64"),
    ],
)
def test_what_it_does_not_give(
    images: NDArray[np.float32], preprocessing: Preprocessing, got: str, likely: str, expected: str
) -> None:
    doubt = normalization_doubt(images, preprocessing)
    assert doubt is not None
    assert doubt.startswith(f"values from {got} look {likely}: mean ")
    assert doubt.endswith(f" give {expected}")
    for value in {*preprocessing.mean, *preprocessing.std}:
        assert f"{value:g}" in doubt
