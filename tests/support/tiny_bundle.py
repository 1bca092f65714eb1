"""A tiny bundle of two exits and ten classes, whose answers can be read off the pixels.

Exit number s (0-based) takes the ten pixels of channel 0 from s * 10 on, in reading order, as its
logits; the plain backbone answers as the last exit does. Costs are made up.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import edgeexit_runtime.testing as tiny
import numpy as np
from edgeexit_runtime import Manifest, Preprocessing
from edgeexit_runtime.testing import Network, Tensor
from numpy.typing import NDArray

SIZE = (3, 8, 8)
CLASSES = tuple("0123456789")
CONFIDENT = 8.0
NETWORK = Network(
    (
        (Tensor("first", ("images",), shape=SIZE, has_relu=False),),
        (Tensor("second", ("first",), shape=SIZE, has_relu=False),),
    ),
    exit_reads=(("first",), ("second",)),
    class_names=CLASSES,
    preprocessing=Preprocessing(SIZE, (0.305,) * 3, (0.324,) * 3),
    branches="n",
    step=len(CLASSES),
    threshold=0.5,
    stage_macs=(300, 600),
    branch_macs=(50, 100),
)


def write_bundle(folder: Path, baseline: bool = True) -> Path:
    """Write stages ``stage1`` and ``stage2`` and exits ``exit1`` and ``final``; return it."""
    return tiny.write_bundle(folder, NETWORK, baseline=baseline)


def unchecked(manifest: Manifest, **changes: Any) -> Manifest:
    """Return a manifest with other values, which need not fit its graphs: nobody looks at these."""
    other = copy.copy(manifest)
    for name, value in changes.items():
        object.__setattr__(other, name, value)
    return other


def write_images(exits: list[int], labels: list[int]) -> NDArray[np.float32]:
    """Return images (N, 3, 8, 8) that leave at ``exits`` with ``labels``, at thresholds of 0.5.

    The plain backbone answers the label too where the image goes on to the end, else 0.
    """
    images = np.zeros((len(exits), *SIZE), np.float32)
    for image, exit_, label in zip(images, exits, labels, strict=True):
        image[0].reshape(-1)[exit_ * len(CLASSES) + label] = CONFIDENT
    return images
