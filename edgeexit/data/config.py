"""Which data a network is trained and judged on, as data: what a checkpoint stores about it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.images.preprocess import Preprocessing

from edgeexit.errors import DataError


@dataclass(frozen=True, slots=True)
class DataConfig:
    """A data set by its registered name, made of plain JSON values.

    Attributes:
        name: a registered name, see :func:`edgeexit.data.list_datasets`.
        data_dir: the folder of the files; None for what the data set takes by itself.
        input_size: ``(channels, height, width)`` of the images; None for what is usual with the
            data set, or in training with the backbone where images have no size of their own.
        download: fetch missing files, where the data set can be fetched.
        hold_out: training images of each class that are kept for validation; None for what is
            usual with the data set. The paper takes 50 (5K of CIFAR-100, 50K of ImageNet).
        augmentation: how training images are varied, see
            :data:`edgeexit.data.augmentation.AUGMENTATIONS`; ``auto`` for what is usual with the
            data set.
        skip_corrupt: leave out image files that cannot be read, and count them, rather than stop.
        max_pixels: larger image files are refused, before they are decoded; None for the usual
            :data:`edgeexit_runtime.images.decoding.MAX_PIXELS`.
        channels: 3, or 1 to read images as grey, of the size that is usual where ``input_size`` is
            None; None for those of ``input_size``, or 3.
        mean, std: one value per channel, on the scale where the image's values are 0 to 1; None
            for what is usual with the data set.
        resize: pixels of an image file's shorter side before the middle is cropped, at least those
            of ``input_size``, where nothing of a square image is cropped; None for 256/224 of it.
    """

    name: str
    data_dir: str | None = None
    input_size: tuple[int, int, int] | None = None
    download: bool = False
    hold_out: int | None = None
    augmentation: str = "auto"
    skip_corrupt: bool = False
    max_pixels: int | None = None
    channels: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        if self.input_size is not None and min(self.input_size) < 1:
            raise ValueError(f"expected an input size of at least one pixel, got {self.input_size}")
        if self.input_size is not None and self.channels not in (None, self.input_size[0]):
            raise ValueError(
                f"channels: expected those of the input size {self.input_size}, got {self.channels}"
            )
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std: expected both or neither, got one of them")
        if self.max_pixels is not None and self.max_pixels < 1:
            raise ValueError(f"max_pixels: expected at least one pixel, got {self.max_pixels}")
        if self.hold_out is not None and self.hold_out < 1:
            raise ValueError(
                f"hold_out: expected at least one image per class, got {self.hold_out}"
            )

    def size_or(self, usual: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return the input size, or else the ``usual`` one with the channels that are asked for."""
        return self.input_size or (self.channels or usual[0], *usual[1:])

    def preprocessing(
        self,
        size: tuple[int, int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        resize: int | None = None,
    ) -> Preprocessing:
        """Return how an image becomes an input, where ``mean`` and ``std`` are usual.

        ``resize`` is the usual one; None where images have one size.

        Raises:
            DataError: those that are asked for do not fit the channels or the size.
        """
        if self.resize is not None and resize is None:
            raise DataError(f"{self.name}: its images are not cropped; leave resize out")
        if self.resize is not None and self.resize < min(size[1:]):
            raise DataError(
                f"{self.name}: expected resize from {min(size[1:])} pixels, the input's shorter "
                f"side, got {self.resize}"
            )
        try:
            return Preprocessing(size, self.mean or mean, self.std or std, self.resize or resize)
        except ValueError as error:
            raise DataError(f"{self.name}: {error}") from error
