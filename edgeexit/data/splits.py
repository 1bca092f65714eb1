"""Splits of data sets that are the same on every machine and in every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeexit.errors import DataError

HELD_OUT = 0.1
"""The share of the training images that is held out for validation, as in the paper (Section V)."""
SPLIT_SEED = 0
"""Independent of the training seed, so that networks of all seeds are compared on one split."""


def stratified_split(
    labels: Sequence[int] | NDArray[np.int64], shares: Sequence[float], name: str
) -> tuple[NDArray[np.int64], ...]:
    """Return the indices of each split, in ascending order, with the same shares of every class.

    Args:
        labels: the label of each sample.
        shares: each split's share of the samples, in order; they sum to one.
        name: the data set's name, for the error.

    Raises:
        DataError: a split would be empty.
    """
    # RandomState has a frozen stream: if splits changed with the version of NumPy, a later
    # evaluation would include images that the network was trained on
    random = np.random.RandomState(SPLIT_SEED)
    targets = np.asarray(labels)
    rank = np.empty(len(targets))
    for label in np.unique(targets):
        (members,) = np.nonzero(targets == label)
        places = random.permutation(len(members)) + random.uniform()
        rank[members] = places / len(members)
    # sorting by rank interleaves the classes, so that any range holds each in proportion
    order = np.argsort(rank, kind="stable")
    ends = np.round(np.cumsum(shares) * len(targets)).astype(int)
    parts = np.split(order, ends[:-1])
    if any(len(part) == 0 for part in parts):
        raise DataError(
            f"{name}: {len(targets)} images are too few to split into {len(parts)} parts; add more"
        )
    return tuple(np.sort(part) for part in parts)


def three_way_split(
    labels: Sequence[int] | NDArray[np.int64],
    shares: Sequence[float],
    per_class: int | None,
    name: str,
    class_names: Sequence[str],
) -> dict[str, NDArray[np.int64]]:
    """Return the indices of ``train``, ``val`` and ``test``, in ascending order, by their shares.

    If ``per_class`` is not None, that many samples of each class are for validation instead, of all
    that are not for testing.

    Raises:
        DataError: a split would be empty, or a class would have no samples left.
    """
    train, val, test = stratified_split(labels, shares, name)
    if per_class is not None:
        rest = np.sort(np.concatenate([train, val]))
        stays, held = hold_out_split(np.asarray(labels)[rest], per_class, name, class_names)
        train, val = rest[stays], rest[held]
    return {"train": train, "val": val, "test": test}


def hold_out_split(
    labels: Sequence[int] | NDArray[np.int64],
    per_class: int | None,
    name: str,
    class_names: Sequence[str],
) -> tuple[NDArray[np.int64], ...]:
    """Hold out ``per_class`` samples per class; return the other indices and theirs, ascending.

    Args:
        labels: the label of each sample.
        per_class: number of samples of each class to hold out; None for a tenth of all.
        name: the data set's name, for the error.
        class_names: the name of each label, for the error.

    Raises:
        DataError: a class would have no samples left.
    """
    if per_class is None:
        return stratified_split(labels, (1 - HELD_OUT, HELD_OUT), name)
    random = np.random.RandomState(SPLIT_SEED)  # frozen, see stratified_split
    targets = np.asarray(labels)
    held = np.zeros(len(targets), np.bool_)
    for label, class_name in enumerate(class_names):
        (members,) = np.nonzero(targets == label)
        if len(members) <= per_class:
            raise DataError(
                f"{name}: expected more than {per_class} training images of class {class_name} "
                f"to hold out {per_class}, got {len(members)}; lower --hold-out"
            )
        held[random.permutation(members)[:per_class]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
