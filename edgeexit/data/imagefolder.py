"""Images in folders, one folder per class: with ``train/`` and ``val/``, or as one tree.

``train/``, ``val/`` and ``test/`` are used as they are. Without ``test/``, the images of ``val/``
are split in halves, so that thresholds are chosen and reported on different images. With
``hold_out``, images of ``train/`` are held out for validation instead, as in the paper, and all of
``val/`` is for testing. Without ``val/``, a tenth of ``train/`` is held out. One tree of class
folders is split 80/10/10. Preprocessing is the paper's for ImageNet (Section V).
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from edgeexit_runtime.images.decoding import MAX_PIXELS
from edgeexit_runtime.images.fitting import MODES
from edgeexit_runtime.images.folder import list_folders
from edgeexit_runtime.images.preprocess import Preprocessing
from torch import nn
from torchvision.transforms import v2

from edgeexit.data.augmentation import AUGMENTATIONS, PADDING, RESIZE_RATIO, resolve_augmentation
from edgeexit.data.class_folders import (
    ClassFolders,
    Files,
    check_same_classes,
    find_classes,
    find_splits,
)
from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData, ImageDataset, Sample, Transform
from edgeexit.data.registry import register_dataset
from edgeexit.data.splits import hold_out_split, stratified_split, three_way_split
from edgeexit.data.transforms import FitImage, compose
from edgeexit.data.words import some
from edgeexit.errors import DataError
from edgeexit.images.files import find_unreadable, read_image
from edgeexit.paths import is_folder

INPUT_SIZE = (3, 224, 224)
MEAN = {3: (0.485, 0.456, 0.406), 1: (0.459,)}
STD = {3: (0.229, 0.224, 0.225), 1: (0.226,)}
"""ImageNet's, by number of channels; those of grey are the colors' with the weights of grey."""
SHARES = (0.8, 0.1, 0.1)
TREE = "all"  # one tree of class folders, which is split here


class ImageFiles(ImageDataset):
    """Images that are read from their files at every access.

    Args:
        files: paths and labels.
        transform: applied at every access.
        mode: PIL's mode of the images passed to ``transform``.
        max_pixels: larger images are rejected.
    """

    def __init__(self, files: Files, transform: Transform, mode: str, max_pixels: int) -> None:
        self.files = files
        self.transform = transform
        self.mode = mode
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.files.paths[index], self.mode, self.max_pixels)
        return self.transform(image), self.files.labels[index]


@register_dataset(any_size=True)
def imagefolder(config: DataConfig) -> ImageData:
    if config.download:
        raise DataError("imagefolder: your own images cannot be downloaded; omit --download")
    if config.data_dir is None:
        raise DataError("imagefolder: expected the folder of the images; give it with --data-dir")
    root = Path(config.data_dir)
    found, notes = _find(root, config.hold_out)
    class_names = next(iter(found.values())).class_names
    files = {name: folder.files for name, folder in found.items()}
    skipped: list[str] = []
    if config.skip_corrupt:
        for name in files:
            files[name], unreadable = _without_unreadable(files[name], class_names, config)
            skipped += unreadable
    splits = _split(root, class_names, files, config.hold_out)
    notes += _missing_classes(root, class_names, splits)

    size = config.size_or(INPUT_SIZE)
    mean, std = MEAN[size[0]], STD[size[0]]
    preprocessing = config.preprocessing(size, mean, std, round(min(size[1:]) * RESIZE_RATIO))
    plain = compose([FitImage(preprocessing)], preprocessing)
    augmentation = resolve_augmentation(config.augmentation, "resize-crop-flip")
    augmented = compose(_training_steps(augmentation, preprocessing), preprocessing)
    read_files = partial(
        ImageFiles, mode=MODES[size[0]], max_pixels=config.max_pixels or MAX_PIXELS
    )
    return ImageData(
        class_names=class_names,
        preprocessing=preprocessing,
        training=read_files(splits["train"], augmented),
        splits={name: read_files(files, plain) for name, files in splits.items()},
        augmentation=augmentation,
        skipped=tuple(skipped),
        left_out=sum((Counter(folder.left_out) for folder in found.values()), Counter[str]()),
        notes=tuple(notes),
    )


def _training_steps(augmentation: str, preprocessing: Preprocessing) -> list[nn.Module]:
    vary = AUGMENTATIONS[augmentation]
    steps = vary.steps(preprocessing.input_size[1:], PADDING)
    if vary.resizes:
        return [*steps, v2.PILToTensor()]
    return [FitImage(preprocessing), *steps]


def _find(root: Path, hold_out: int | None) -> tuple[dict[str, ClassFolders], list[str]]:
    """Return the class folders of each split in ``root``, or of all images, and notes."""
    if not is_folder(root):
        raise DataError(f"imagefolder: there is no folder {root}; check --data-dir")
    folders = find_splits(root)
    if hold_out is not None and {"val", "test"} <= folders.keys():
        raise DataError(
            f"imagefolder: {root} has train/, val/ and test/, so nothing has to be held out; "
            "omit --hold-out"
        )
    found = {name: find_classes(folder) for name, folder in (folders or {TREE: root}).items()}
    check_same_classes([*found.values()])
    notes = [note for folder in found.values() for note in folder.notes]
    others = [f"{name}/" for name in list_folders(root) if root / name not in folders.values()]
    if folders and others:
        notes.append(f"not read: {some(others)} in {root}, beside the splits")
    return found, notes


def _split(
    root: Path, class_names: tuple[str, ...], found: dict[str, Files], hold_out: int | None
) -> dict[str, Files]:
    """Return the files of ``train``, ``val`` and ``test`` from the folders found."""
    name = f"imagefolder {root}"
    if TREE in found:
        files = found[TREE]
        parts = three_way_split(files.labels, SHARES, hold_out, name, class_names)
        return {split: files.take(part) for split, part in parts.items()}
    if {"val", "test"} <= found.keys():
        return found
    if "val" in found and hold_out is None:
        val = found["val"]
        first, second = stratified_split(val.labels, (0.5, 0.5), f"{name}, val")
        return {"train": found["train"], "val": val.take(first), "test": val.take(second)}
    train, test = found["train"], found["val" if "val" in found else "test"]
    stays, held = hold_out_split(train.labels, hold_out, f"{name}, train", class_names)
    return {"train": train.take(stays), "val": train.take(held), "test": test}


def _missing_classes(
    root: Path, class_names: tuple[str, ...], splits: dict[str, Files]
) -> list[str]:
    """Return notes on classes that have no image in a split.

    Raises:
        DataError: a class has no image to train on.
    """
    counts = {split: Counter(files.labels) for split, files in splits.items()}
    total = sum(counts.values(), Counter[int]())
    notes = []
    for split, images in counts.items():
        labels = [label for label in range(len(class_names)) if not images[label]]
        few = some(f"{class_names[label]} ({total[label]} in all)" for label in labels)
        if few and split == "train":
            raise DataError(
                f"imagefolder: too few images in {root} of {few}: none are left to train on; add "
                "images or remove the class"
            )
        if few:
            notes.append(f"too few images of {few}: none are in {split}")
    return notes


def _without_unreadable(
    files: Files, class_names: tuple[str, ...], config: DataConfig
) -> tuple[Files, list[str]]:
    """Return the readable files, and the paths of the others."""
    unreadable = np.array(find_unreadable(files.paths, config.max_pixels or MAX_PIXELS), np.bool_)
    kept = files.take(np.flatnonzero(~unreadable))
    empty = sorted(set(files.labels) - set(kept.labels))
    if empty:
        raise DataError(
            f"imagefolder: none of the images of class {class_names[empty[0]]} can be read; "
            "replace them or remove the class"
        )
    return kept, [files.paths[i] for i in np.flatnonzero(unreadable)]
