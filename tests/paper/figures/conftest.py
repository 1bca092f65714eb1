"""Networks with answers made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from edgeexit_runtime.images.preprocess import Preprocessing

from edgeexit.cost import ExitCost, ExitCosts
from edgeexit.data.dataset import ImageArrays
from edgeexit.evaluation import ExitPredictions
from edgeexit.paper.figures import Subject

MakeSubject = Callable[..., Subject]

# Eight samples of three classes; exit1 is right on five of them, exit2 on six, final on seven.
TARGETS = [0, 0, 0, 1, 1, 1, 2, 2]
CONFIDENCES = [
    [0.95, 0.90, 0.30, 0.92, 0.55, 0.40, 0.45, 0.60],
    [0.97, 0.85, 0.80, 0.99, 0.75, 0.50, 0.55, 0.82],
    [0.99, 0.70, 0.90, 0.99, 0.65, 0.60, 0.85, 0.45],
]
LABELS = [
    [0, 0, 1, 1, 1, 0, 0, 2],
    [0, 0, 0, 1, 1, 0, 0, 2],
    [0, 0, 0, 1, 1, 1, 0, 2],
]
THRESHOLDS = {"exit1": 0.9, "exit2": 0.75}
LEFT_AT = [0, 0, 1, 0, 1, 2, 2, 1]
PATHS = (40, 90, 130)


def _answers(labels: Sequence[Sequence[int]], names: tuple[str, ...]) -> ExitPredictions:
    first = 3 - len(names)
    return ExitPredictions(
        names,
        np.array(CONFIDENCES[first:], np.float32),
        np.array(labels[first:], np.int64),
        np.array(TARGETS, np.int64),
    )


@pytest.fixture
def subject() -> MakeSubject:
    """``subject(name="run", plain=False, **changed)``; ``changed`` are fields of the Subject."""

    def make(name: str = "run", plain: bool = False, **changed: Any) -> Subject:
        names = ("final",) if plain else ("exit1", "exit2", "final")
        exits = (ExitCost("exit1", 30, 10, 40), ExitCost("exit2", 60, 20, 90))
        final = ExitCost("final", 100, 0, 100 if plain else 130)
        images = torch.arange(8 * 3 * 4 * 4, dtype=torch.uint8).reshape(8, 3, 4, 4)
        preprocessing = Preprocessing((3, 4, 4), (0.5,) * 3, (0.25,) * 3)
        fields: dict[str, Any] = {
            "name": name,
            "about": "resnet20 plain" if plain else "resnet20 3+1",
            "dataset": "shapes",
            "class_names": ("circle", "square", "star"),
            "preprocessing": preprocessing,
            "thresholds": {} if plain else dict(THRESHOLDS),
            "cost": ExitCosts((final,) if plain else (*exits, final)),
            "val": _answers(LABELS, names),
            "test": _answers(LABELS, names),
            "test_images": ImageArrays(images, TARGETS, lambda image: (image / 255 - 0.5) / 0.25),
        }
        return Subject(**{**fields, **changed})

    return make
