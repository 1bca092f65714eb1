"""The configuration of a data set for training and evaluation, stored in checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit_runtime.images.preprocess import Preprocessing

from edgeexit.errors import DataError


@dataclass(frozen=True, slots=True)
class DataConfig:
    """A data set by its registered name; all values are plain JSON.

    Attributes:
        name: a registered name, see :func:`edgeexit.data.list_datasets`.
        data_dir: the folder of the files; None for the data set's default.
        input_size: ``(channels, height, width)`` of the images; None for the data set's default, or
            in training the backbone's if the images have no fixed size.
        download: download missing files if the data set supports it.
        hold_out: number of training images per class that are held out for validation; None for
            the data set's default. The paper uses 50 (5K of CIFAR-100, 50K of ImageNet).
        augmentation: augmentation of the training images, see
            :data:`edgeexit.data.augmentation.AUGMENTATIONS`; ``auto`` for the data set's default.
        skip_corrupt: skip and count unreadable image files instead of raising an error.
        max_pixels: larger image files are rejected before they are decoded; None for
            :data:`edgeexit_runtime.images.decoding.MAX_PIXELS`.
        channels: 3, or 1 to read images as grey; used with the default size if ``input_size`` is
            None. None for the channels of ``input_size``, or 3.
        mean, std: one value per channel, for image values scaled to 0 to 1; None for the data
            set's default.
        resize: length in pixels of an image file's shorter side before the center crop, at least
            that of ``input_size``, at which a square image is not cropped; None for 256/224 of it.
        fingerprint: that of the images that a network was made with, see
            :attr:`edgeexit.data.ImageData.fingerprint`; None if they are not known.
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
    fingerprint: str | None = None

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
        """Return the input size, or the ``usual`` one with the requested number of channels."""
        return self.input_size or (self.channels or usual[0], *usual[1:])

    def preprocessing(
        self,
        size: tuple[int, int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        resize: int | None = None,
    ) -> Preprocessing:
        """Return the preprocessing of images, with the data set's defaults as arguments.

        ``resize`` is None if all images have the same size.

        Raises:
            DataError: the requested values do not fit the channels or the size.
        """
        if self.resize is not None and resize is None:
            raise DataError(f"{self.name}: its images are not cropped; omit resize")
        if self.resize is not None and self.resize < min(size[1:]):
            raise DataError(
                f"{self.name}: expected resize from {min(size[1:])} pixels, the input's shorter "
                f"side, got {self.resize}"
            )
        try:
            return Preprocessing(size, self.mean or mean, self.std or std, self.resize or resize)
        except ValueError as error:
            raise DataError(f"{self.name}: {error}") from error
