"""Compare images and classes with those of a network: one rule for data sets and networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from edgeexit_runtime.errors import printable
from edgeexit_runtime.images.preprocess import Preprocessing

from edgeexit.errors import DataError, EdgeExitError


def class_differences(expected: Sequence[str], got: Sequence[str]) -> list[str]:
    """Describe how two lists of classes differ: in number, or in the first different name."""
    if len(expected) != len(got):
        return [f"{len(expected)} classes, got {len(got)}"]
    for place, (name, other) in enumerate(zip(expected, got, strict=True)):
        if name != other:
            return [f"class {place} named {printable(name)}, got {printable(other)}"]
    return []


def image_differences(expected: Preprocessing, got: Preprocessing) -> list[str]:
    """Describe how two preprocessings differ, field by field: size, mean, std, how images fit."""
    names = [field.name for field in dataclasses.fields(Preprocessing)]
    return [
        f"{name} {getattr(expected, name)}, got {getattr(got, name)}"
        for name in names
        if getattr(expected, name) != getattr(got, name)
    ]


def check_data_set(
    name: str,
    classes: tuple[Sequence[str], Sequence[str]],
    images: tuple[Preprocessing, Preprocessing],
) -> tuple[str, ...]:
    """Check that a network can be evaluated on a data set; return warnings.

    Args:
        name: name of the data set.
        classes: class names of the network, then of the data set.
        images: preprocessing of the network, then of the data set.

    Raises:
        DataError: the number of classes or the preprocessing differs.
    """
    named = class_differences(*classes)
    same_number = len(classes[0]) == len(classes[1])
    different = [*([] if same_number else named), *image_differences(*images)]
    if different:
        raise DataError(
            f"{name}: expected the network's {'; '.join(different)}; choose the --dataset that it "
            "was trained on"
        )
    return tuple(
        f"{name}: expected the network's {difference}; classes are compared by number"
        for difference in named
    )


def check_same(
    who: str,
    advice: str,
    pairs: Iterable[tuple[str, object, object]],
    error: type[EdgeExitError] = DataError,
) -> None:
    """Raise an error that names the first thing in which two networks differ.

    Args:
        who: what cannot be done with them, such as ``a and b cannot be compared``.
        advice: what to do about it.
        pairs: for each thing, its name and its value in both.
        error: the class of the error.
    """
    for what, one, other in pairs:
        if one != other:
            raise error(
                f"{who}: expected the same {what}, got {_short(one)} and {_short(other)}; {advice}"
            )


def _short(value: object) -> str:
    if not isinstance(value, (tuple, list)):
        return "the usual" if value is None else printable(str(value))
    shown = ", ".join(printable(str(part)) for part in value[:3])
    return f"{len(value)} ({shown}{', ...' if len(value) > 3 else ''})"
