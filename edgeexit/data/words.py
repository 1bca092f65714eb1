"""Descriptions of data sets in words."""

from __future__ import annotations

from collections.abc import Iterable

from edgeexit_runtime.images.folder import describe_left_out

from edgeexit.data.dataset import ImageData

FEW_CLASSES = 10


def describe_data(name: str, data: ImageData) -> tuple[str, ...]:
    """Return lines with the number of images, the classes, and the files left out.

    Args:
        name: name of the data set.
        data: the data set.
    """
    counts = ", ".join(f"{len(images):,} {split}" for split, images in data.splits.items())
    classes = some(data.class_names, FEW_CLASSES)
    lines = [f"{name}: {counts} images; {len(data.class_names):,} classes: {classes}"]
    if data.left_out:
        lines.append(f"{name}: left out {describe_left_out(data.left_out)}")
    if data.skipped:
        skipped = some(data.skipped)
        lines.append(f"{name}: left out {len(data.skipped)} unreadable images: {skipped}")
    return (*lines, *data.notes)


def some(names: Iterable[str], shown: int = 3) -> str:
    """Return names as a list; if more than ``shown``, the first three and the number of others."""
    names = [*names]
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
