"""Images in folders, one folder per class: as ``train/`` and ``val/``, or as one tree.

With ``train/``, ``val/`` and ``test/`` each is its split. Without ``test/`` the images of ``val/``
are split in halves, so that thresholds are chosen and reported on different images. One tree of
class folders is split 80/10/10. Processing is the paper's for ImageNet (Section V).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torchvision
from edgeexit_runtime.preprocess import Preprocessing
from numpy.typing import NDArray
from torch import nn
from torchvision.transforms import v2

from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData, ImageDataset, Sample, Transform
from edgeexit.data.registry import register_dataset
from edgeexit.data.splits import stratified_split
from edgeexit.data.transforms import compose
from edgeexit.errors import DataError
from edgeexit.images import read_image

INPUT_SIZE = (3, 224, 224)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESIZE_RATIO = 256 / 224
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


@dataclass(frozen=True, slots=True)
class _Files:
    """Image files of one split and their labels."""

    paths: tuple[str, ...]
    labels: tuple[int, ...]

    def take(self, indices: NDArray[Any]) -> _Files:
        return _Files(tuple(self.paths[i] for i in indices), tuple(self.labels[i] for i in indices))


class ImageFiles(ImageDataset):
    """Images that are read from their files at every access."""

    def __init__(self, files: _Files, transform: Transform) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> Sample:
        return self.transform(read_image(self.files.paths[index], "RGB")), self.files.labels[index]


@register_dataset
def imagefolder(config: DataConfig) -> ImageData:
    if config.download:
        raise DataError("imagefolder: your own images cannot be downloaded; leave --download out")
    if config.data_dir is None:
        raise DataError("imagefolder: expected the folder of the images; give it with --data-dir")
    class_names, parts = _find(Path(config.data_dir))
    size = config.input_size or INPUT_SIZE
    preprocessing = Preprocessing(size, MEAN, STD, resize=round(max(size[1:]) * RESIZE_RATIO))
    plain = compose(_evaluation_steps(preprocessing), preprocessing)
    augmented = compose(_training_steps(size[1:]), preprocessing)
    return ImageData(
        class_names=class_names,
        preprocessing=preprocessing,
        training=ImageFiles(parts["train"], augmented),
        splits={name: ImageFiles(files, plain) for name, files in parts.items()},
    )


def _training_steps(size: tuple[int, int]) -> list[nn.Module]:
    enlarged = [round(pixels * RESIZE_RATIO) for pixels in size]
    return [
        v2.Resize(enlarged, antialias=True),
        v2.RandomCrop(size),
        v2.RandomHorizontalFlip(),
        v2.PILToTensor(),
    ]


def _evaluation_steps(preprocessing: Preprocessing) -> list[nn.Module]:
    return [
        v2.Resize(preprocessing.resize, antialias=True),  # the shorter side
        v2.CenterCrop(preprocessing.input_size[1:]),
        v2.PILToTensor(),
    ]


def _find(root: Path) -> tuple[tuple[str, ...], dict[str, _Files]]:
    """Return the class names and the files of each split below ``root``."""
    if not root.is_dir():
        raise DataError(f"imagefolder: there is no folder {root}; check --data-dir")
    if not (root / "train").is_dir():
        class_names, files = _class_folders(root)
        indices = stratified_split(files.labels, list(SHARES.values()), f"imagefolder {root}")
        parts = zip(SHARES, indices, strict=True)
        return class_names, {name: files.take(part) for name, part in parts}
    if not (root / "val").is_dir():
        raise DataError(f"imagefolder: {root} has train/ but no val/; add val/ beside it")
    class_names, train = _class_folders(root / "train")
    val = _same_classes(root / "val", class_names)
    if (root / "test").is_dir():
        return class_names, {
            "train": train,
            "val": val,
            "test": _same_classes(root / "test", class_names),
        }
    first, second = stratified_split(val.labels, (0.5, 0.5), f"imagefolder {root / 'val'}")
    return class_names, {"train": train, "val": val.take(first), "test": val.take(second)}


def _same_classes(folder: Path, class_names: tuple[str, ...]) -> _Files:
    found, files = _class_folders(folder)
    different = sorted(set(found) ^ set(class_names))
    if different:
        raise DataError(
            f"imagefolder: {folder} and train/ have different class folders, such as "
            f"{different[0]}; use the same in both"
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
