"""Images in folders, one folder per class: as ``train/`` and ``val/``, or as one tree.

With ``train/``, ``val/`` and ``test/`` each is its split. Without ``test/`` the images of ``val/``
are split in halves, so that thresholds are chosen and reported on different images; or images of
``train/`` are held out to choose on, as the paper does, and all of ``val/`` is for testing. One
tree of class folders is split 80/10/10. Processing is the paper's for ImageNet (Section V).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torchvision
from edgeexit_runtime.decoding import MAX_PIXELS
from edgeexit_runtime.images import MODES
from edgeexit_runtime.preprocess import Preprocessing
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2

from edgeexit.data.augmentation import AUGMENTATIONS, PADDING, RESIZE_RATIO, resolve_augmentation
from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData, ImageDataset, Sample, Transform
from edgeexit.data.registry import register_dataset
from edgeexit.data.splits import hold_out_split, stratified_split
from edgeexit.data.transforms import FitImage, compose
from edgeexit.errors import DataError
from edgeexit.images import find_unreadable, read_image

INPUT_SIZE = (3, 224, 224)
MEAN = {3: (0.485, 0.456, 0.406), 1: (0.459,)}
STD = {3: (0.229, 0.224, 0.225), 1: (0.226,)}
"""ImageNet's, by the number of channels; of grey those of the colours, weighted as grey is."""
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


@dataclass(frozen=True, slots=True)
class _Files:
    """Image files of one split and their labels."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]

    def take(self, indices: NDArray[Any]) -> _Files:
        return _Files(tuple(self.paths[i] for i in indices), tuple(self.labels[i] for i in indices))


class ImageFiles(ImageDataset):
    """Images that are read from their files at every access.

    Args:
        files: where they are.
        transform: applied at every access.
        mode: in which PIL gives them to it.
        max_pixels: larger ones are refused.
    """

    def __init__(self, files: _Files, transform: Transform, mode: str, max_pixels: int) -> None:
        self.files = files
        self.transform = transform
        self.mode = mode
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.files.paths[index], self.mode, self.max_pixels)
        return self.transform(image), self.files.labels[index]


@register_dataset
def imagefolder(config: DataConfig) -> ImageData:
    if config.download:
        raise DataError("imagefolder: your own images cannot be downloaded; leave --download out")
    if config.data_dir is None:
        raise DataError("imagefolder: expected the folder of the images; give it with --data-dir")
    class_names, parts, skipped = _find(Path(config.data_dir), config)
    size = config.input_size or INPUT_SIZE
    mean, std = MEAN[size[0]], STD[size[0]]
    preprocessing = Preprocessing(size, mean, std, resize=round(min(size[1:]) * RESIZE_RATIO))
    plain = compose([FitImage(preprocessing)], preprocessing)
    augmentation = resolve_augmentation(config.augmentation, "resize-crop-flip")
    augmented = compose(_training_steps(augmentation, preprocessing), preprocessing)
    read_files = partial(
        ImageFiles, mode=MODES[size[0]], max_pixels=config.max_pixels or MAX_PIXELS
    )
    return ImageData(
        class_names=class_names,
        preprocessing=preprocessing,
        training=read_files(parts["train"], augmented),
        splits={name: read_files(files, plain) for name, files in parts.items()},
        augmentation=augmentation,
        skipped=skipped,
    )


def _training_steps(augmentation: str, preprocessing: Preprocessing) -> list[nn.Module]:
    vary = AUGMENTATIONS[augmentation]
    steps = vary.steps(preprocessing.input_size[1:], PADDING)
    if vary.resizes:
        return [*steps, v2.PILToTensor()]
    return [FitImage(preprocessing), *steps]


def _find(
    root: Path, config: DataConfig
) -> tuple[tuple[str, ...], dict[str, _Files], tuple[str, ...]]:
    """Return the class names, the files of each split below ``root``, and those left out."""
    if not root.is_dir():
        raise DataError(f"imagefolder: there is no folder {root}; check --data-dir")
    if (root / "train").is_dir():
        class_names, found = _split_folders(root, config.hold_out)
    else:
        class_names, files = _class_folders(root)
        found = {"": files}
    skipped: list[str] = []
    if config.skip_corrupt:
        for name in found:
            found[name], unreadable = _without_unreadable(found[name], class_names, config)
            skipped += unreadable
    return class_names, _split(root, class_names, found, config.hold_out), tuple(skipped)


def _split_folders(root: Path, hold_out: int | None) -> tuple[tuple[str, ...], dict[str, _Files]]:
    """Return the class names, and the files of ``train/``, ``val/`` and, if there is, ``test/``."""
    if not (root / "val").is_dir():
        raise DataError(f"imagefolder: {root} has train/ but no val/; add val/ beside it")
    class_names, train = _class_folders(root / "train")
    found = {"train": train, "val": _same_classes(root / "val", class_names)}
    if (root / "test").is_dir():
        if hold_out is not None:
            raise DataError(
                f"imagefolder: {root} has train/, val/ and test/, so nothing has to be held out; "
                "leave --hold-out out"
            )
        found["test"] = _same_classes(root / "test", class_names)
    return class_names, found


def _split(
    root: Path, class_names: tuple[str, ...], found: dict[str, _Files], hold_out: int | None
) -> dict[str, _Files]:
    """Return the files of ``train``, ``val`` and ``test`` from the folders that were found."""
    if "test" in found:
        return found
    if "train" not in found:
        files = found[""]
        parts = stratified_split(files.labels, list(SHARES.values()), f"imagefolder {root}")
        if hold_out is None:
            return {name: files.take(part) for name, part in zip(SHARES, parts, strict=True)}
        found = {
            "train": files.take(np.sort(np.concatenate(parts[:2]))),
            "val": files.take(parts[2]),
        }
    train, val = found["train"], found["val"]
    if hold_out is None:
        first, second = stratified_split(val.labels, (0.5, 0.5), f"imagefolder {root / 'val'}")
        return {"train": train, "val": val.take(first), "test": val.take(second)}
    stays, held = hold_out_split(train.labels, hold_out, f"imagefolder {root}", class_names)
    return {"train": train.take(stays), "val": train.take(held), "test": val}


def _without_unreadable(
    files: _Files, class_names: tuple[str, ...], config: DataConfig
) -> tuple[_Files, list[str]]:
    """Return the files that can be read, and the paths of the others."""
    unreadable = np.array(find_unreadable(files.paths, config.max_pixels or MAX_PIXELS), np.bool_)
    kept = files.take(np.flatnonzero(~unreadable))
    empty = sorted(set(files.labels) - set(kept.labels))
    if empty:
        raise DataError(
            f"imagefolder: none of the images of class {class_names[empty[0]]} can be read; "
            "replace them or take the class away"
        )
    return kept, [files.paths[i] for i in np.flatnonzero(unreadable)]


def _same_classes(folder: Path, class_names: tuple[str, ...]) -> _Files:
    found, files = _class_folders(folder)
    for more, lacking, names in (
        (folder, folder.with_name("train"), set(found) - set(class_names)),
        (folder.with_name("train"), folder, set(class_names) - set(found)),
    ):
        if names:
            raise DataError(
                f"imagefolder: {more} has the class {min(names)}, which {lacking} lacks"
                f"{f', and {len(names) - 1} more such' if len(names) > 1 else ''}; use the same "
                "class folders in both"
            )
    return files


def _class_folders(folder: Path) -> tuple[tuple[str, ...], _Files]:
    """Return the class names, sorted, and every image below ``folder/CLASS/``."""
    class_names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if len(class_names) < 2:
        raise DataError(
            f"imagefolder: expected one folder per class in {folder}, at least 2, got "
            f"{len(class_names)}; sort the images into them"
        )
    index = {name: label for label, name in enumerate(class_names)}
    samples = torchvision.datasets.ImageFolder.make_dataset(
        str(folder), index, torchvision.datasets.folder.IMG_EXTENSIONS, allow_empty=True
    )
    files = _Files(tuple(path for path, _ in samples), tuple(label for _, label in samples))
    empty = sorted(set(index.values()) - set(files.labels))
    if empty:
        raise DataError(
            f"imagefolder: no images in {folder / class_names[empty[0]]}; expected files that end "
            f"in {', '.join(torchvision.datasets.folder.IMG_EXTENSIONS)}"
        )
    return tuple(class_names), files
