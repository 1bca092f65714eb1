"""A trained network as input of every figure: its answers on val and test, and its costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray

from edgeexit.cost import ExitCosts
from edgeexit.data.dataset import ImageDataset
from edgeexit.evaluation import ExitPredictions, leaving_exits
from edgeexit.fitting import check_same


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network in figures.

    Attributes:
        name: a unique name among the networks of the figures.
        about: its backbone and branches.
        dataset: the name of the data set that it is evaluated on.
        class_names: one per class, in order.
        preprocessing: preprocessing of the images.
        thresholds: gamma of every exit but ``final``, as in the checkpoint or bundle.
        cost: costs of its exits.
        val: answers on val, which thresholds are chosen on.
        test: answers on test, which are drawn.
        test_images: the images of ``test``, by index.
    """

    name: str
    about: str
    dataset: str
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    thresholds: dict[str, float]
    cost: ExitCosts
    val: ExitPredictions
    test: ExitPredictions
    test_images: ImageDataset

    @property
    def exit_names(self) -> tuple[str, ...]:
        """Names of all exits in order, ``final`` last."""
        return self.test.exit_names

    @property
    def has_branches(self) -> bool:
        """Whether it is more than a plain backbone."""
        return len(self.exit_names) > 1

    @property
    def images(self) -> str:
        """The images that it is evaluated on."""
        return f"{len(self.test.targets)} test images of {self.dataset}"

    @property
    def title(self) -> str:
        """Name, backbone and branches, and the images that it is evaluated on."""
        return f"{self.name} ({self.about}), {self.images}"

    def left_at(self) -> NDArray[np.int64]:
        """Return the 0-based exit at which each test sample leaves, (N,)."""
        return leaving_exits(self.test, self.thresholds)

    def adaptive_correct(self) -> NDArray[np.bool_]:
        """Return whether the answer that each test sample leaves with is right, (N,)."""
        left_at = self.left_at()
        correct: NDArray[np.bool_] = self.test.correct[left_at, np.arange(len(left_at))]
        return correct


def check_same_images(subjects: Sequence[Subject]) -> None:
    """Raise DataError if networks were not evaluated on the same images."""
    first = subjects[0]
    for other in subjects[1:]:
        check_same(
            f"{first.name} and {other.name} cannot share a figure",
            "draw them separately",
            (
                ("data set", first.dataset, other.dataset),
                ("classes", first.class_names, other.class_names),
                ("test images", first.test.targets.tolist(), other.test.targets.tolist()),
            ),
        )
