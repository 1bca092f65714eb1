"""Which sample belongs to which split, the same on every machine and in every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.errors import DataError

__all__ = ["SPLIT_SEED", "stratified_split"]

SPLIT_SEED = 0
"""Not the training's seed: networks trained with different seeds are compared on one split."""


def stratified_split(
    labels: Sequence[int], shares: Sequence[float], name: str
) -> tuple[NDArray[np.int64], ...]:
    """Return the indices of each split, in ascending order; every class is shared out alike.

    Args:
        labels: the label of each sample.
        shares: each split's share of the samples, in order; they sum to one.
        name: the data set's name, for the error.

    Raises:
        DataError: a split would be empty.
    """
    # RandomState, because its stream is frozen: a split that changed with numpy's version would
    # let a later evaluation see images that the network was trained on
    random = np.random.RandomState(SPLIT_SEED)
    targets = np.asarray(labels)
    rank = np.empty(len(targets))
    for label in np.unique(targets):
        (members,) = np.nonzero(targets == label)
        places = random.permutation(len(members)) + random.uniform()
        rank[members] = places / len(members)
    # by rank the classes are interleaved, so that any stretch holds each in proportion
    order = np.argsort(rank, kind="stable")
    ends = np.round(np.cumsum(shares) * len(targets)).astype(int)
    parts = np.split(order, ends[:-1])
    if any(len(part) == 0 for part in parts):
        raise DataError(
            f"{name}: {len(targets)} images are too few to split into {len(parts)} parts; add more"
        )
    return tuple(np.sort(part) for part in parts)
