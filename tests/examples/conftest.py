"""The tiny bundle of the benchmark's tests, and pictures that it knows the answers to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def examples() -> Path:
    """The folder of the examples."""
    return EXAMPLES


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """``a.png`` leaves at exit1 as a 3, ``deeper/b.png`` at final as a 4."""
    for name, position in (("a.png", 3), ("deeper/b.png", 14)):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels.reshape(-1, 3)[position, 0] = 255
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"
