"""Networks with random weights on 40 images of noise: enough for everything but accuracies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing

from edgeexit.data import DataConfig, ImageData
from edgeexit.data.dataset import ImageArrays
from edgeexit.data.transforms import compose
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.paper.consistency import TrainedNetwork, name_networks
from edgeexit.training import Checkpoint

SIZE = (3, 8, 8)
CLASSES = ("a", "b", "c", "d")
PREPROCESSING = Preprocessing(SIZE, (0.5,) * 3, (0.25,) * 3)

NetworkFactory = Callable[..., TrainedNetwork]


@pytest.fixture(scope="session")
def noise() -> ImageData:
    transform = compose([], PREPROCESSING)
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> ImageArrays:
        images = torch.randint(0, 256, (count, *SIZE), generator=generator, dtype=torch.uint8)
        return ImageArrays(images, [i % len(CLASSES) for i in range(count)], transform)

    splits = {name: split(count) for name, count in (("train", 40), ("val", 4), ("test", 20))}
    return ImageData(CLASSES, PREPROCESSING, splits["train"], splits)


def checkpoint(
    branches: str = "1+1",
    backbone: str = "resnet20",
    seed: int = 0,
    data: DataConfig | None = None,
    exits: int | None = None,
) -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spec = make_spec(backbone, branches, len(CLASSES), SIZE)
        spec = replace(spec, exits=spec.exits[:exits])
        weights = MultiExitNet(spec).state_dict()
    data = data or DataConfig("noise", input_size=SIZE)
    thresholds = dict.fromkeys(spec.exit_names[:-1], 0.9)
    return Checkpoint(spec, weights, PREPROCESSING, CLASSES, thresholds, data, {}, {})


@pytest.fixture(scope="session")
def trained() -> NetworkFactory:
    """``trained(branches="1+1", backbone="resnet20", seed=0, data=None, exits=None)``."""

    def make(*args: object, **options: object) -> TrainedNetwork:
        made = checkpoint(*args, **options)  # type: ignore[arg-type]
        (network,) = name_networks([Path(made.spec.pattern) / "ckpt.pt"], [made])
        return network

    return make
