"""The finished fits of a study, in one JSON file: written after every fit, read to resume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgeexit_runtime.bundle.schema import SchemaError, decode, encode

from edgeexit.errors import DataError
from edgeexit.files import read_json, write_json
from edgeexit.paper.consistency.reconstruction import FitSettings

FORMAT = "edgeexit consistency"
VERSION = 1

_OPTIONS = {
    "epochs": "--epochs",
    "lr": "--lr",
    "batch_size": "--fit-batch-size",
    "momentum": "--momentum",
    "weight_decay": "--weight-decay",
    "seed": "--seed",
}

FitKey = tuple[str, bool, str, int, int]
"""Fingerprint, control, stage, depth and run, which identify a fit in a study."""


@dataclass(frozen=True, slots=True)
class StudySettings:
    """Settings that all fits of a file have in common.

    Attributes:
        baseline: fingerprint of the network whose features are reconstructed.
        dataset: name of the data set.
        hold_out: number of training images per class that were kept for validation.
        input_size: (channels, height, width).
        train_images, test_images: numbers of images.
        fit: settings of each fit.
        images: fingerprint of the images, see :attr:`edgeexit.data.ImageData.fingerprint`; None in
            files that are older than it.
    """

    baseline: str
    dataset: str
    hold_out: int | None
    input_size: tuple[int, int, int]
    train_images: int
    test_images: int
    fit: FitSettings
    images: str | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """One reconstruction and the baseline's accuracy with it.

    Attributes:
        network: the network's name at the time of the fit.
        fingerprint: the network's fingerprint.
        control: whether its features were shuffled across images.
        stage: the stage whose features were replaced.
        depth: N, the number of non-linear layers.
        run: counted from 1.
        accuracy: accuracy of the baseline with the reconstruction, a fraction of the test images.
        mse: mean squared error over the training images in the last epoch.
        unexplained: ``mse`` over the variance of the baseline's features.
    """

    network: str
    fingerprint: str
    control: bool
    stage: str
    depth: int
    run: int
    accuracy: float
    mse: float
    unexplained: float

    @property
    def key(self) -> FitKey:
        return (self.fingerprint, self.control, self.stage, self.depth, self.run)


class StudyRecord:
    """The finished fits of a study and their file, which is written immediately.

    Args:
        path: the file; its fits are kept.
        settings: the study's settings.

    Raises:
        DataError: the file is damaged, or was made with other settings.
        WriteError: it cannot be written.
    """

    def __init__(self, path: Path, settings: StudySettings) -> None:
        self.path, self.settings = path, settings
        self.fits: dict[FitKey, Fit] = {}
        if path.exists():
            found, fits = _read(path)
            _check_same(path, found, settings)
            self.fits = {fit.key: fit for fit in fits}
        self._write({})

    def add(self, fit: Fit) -> None:
        """Add a finished fit, and write it to the file."""
        self.fits[fit.key] = fit
        self._write({})

    def finish(self, report: Any) -> None:
        """Write the report into the file, beside the fits."""
        self._write({"report": encode(report)})

    def _write(self, extra: dict[str, Any]) -> None:
        about = {"format": FORMAT, "version": VERSION, "settings": encode(self.settings)}
        write_json(self.path, {**about, "fits": encode(list(self.fits.values())), **extra})


def _read(path: Path) -> tuple[StudySettings, Iterable[Fit]]:
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise SchemaError(f"format: expected {FORMAT!r}")
        if content.get("version") != VERSION:
            raise SchemaError(f"version: expected {VERSION}, got {content.get('version')!r}")
        settings = decode(StudySettings, content.get("settings"), "settings")
        return settings, decode(tuple[Fit, ...], content.get("fits"), "fits")
    except ValueError as error:  # SchemaError is one
        raise DataError(
            f"{path}: expected the results of edgeexit consistency to resume from ({error}); "
            "delete it or choose another -o"
        ) from error


def _check_same(path: Path, found: StudySettings, wanted: StudySettings) -> None:
    pairs = [(f.name, getattr(found, f.name), getattr(wanted, f.name)) for f in fields(found)]
    pairs.remove(("fit", found.fit, wanted.fit))
    if found.images is None:
        pairs.remove(("images", None, wanted.images))
    pairs += [
        (_OPTIONS.get(f.name, f.name), getattr(found.fit, f.name), getattr(wanted.fit, f.name))
        for f in fields(found.fit)
    ]
    different = [f"{name} {one}, now {other}" for name, one, other in pairs if one != other]
    if different:
        raise DataError(
            f"{path} was made with other settings ({'; '.join(different)}): give the same ones to "
            "resume, or choose another -o"
        )
