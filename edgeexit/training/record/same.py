"""Checks that a resumed run has the same options, images and teacher as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeexit_runtime.bundle.schema import encode

from edgeexit.data import ImageData
from edgeexit.errors import TrainingError
from edgeexit.fitting import class_differences
from edgeexit.training.record.folder import SavedRun
from edgeexit.training.settings.config import TrainConfig

FREE_OPTIONS = (
    "device",
    "workers",
    "save_minutes",
    "teacher",
    "data.data_dir",
    "data.download",
    "data.max_pixels",
)
"""Options that may change when a run resumes: where it executes, finds its files, and saves.

Whether a teacher at another path is the same is checked by its fingerprint.
"""

_OPTION_NAMES = {"data.name": "--dataset"}


def check_same_options(folder: Path, saved: SavedRun, asked: TrainConfig) -> None:
    """Raise TrainingError, naming each option, if ``asked`` would change the result."""
    stored = saved.config
    before, now = _options(stored), _options(asked)
    names = {**_OPTION_NAMES, "backbone": "--backbone" if stored.is_registered else "--model"}
    different = [
        f"{names.get(name) or _option(name)} {_shown(before[name])}, got {_shown(now[name])}"
        for name in before
        if before[name] != now[name] and name not in FREE_OPTIONS
    ]
    if different:
        raise TrainingError(
            f"{folder} was started with {'; '.join(different)}: omit the options to "
            "continue it, or choose another -o"
        )


def check_same_images(folder: Path, saved: SavedRun, data: ImageData) -> None:
    """Raise TrainingError if the data has other classes or images now.

    Labels would change meaning, or images of ``val`` and ``test`` would be trained on.
    """
    different = class_differences(saved.checkpoint.class_names, data.class_names)
    if saved.checkpoint.data.fingerprint not in (None, data.fingerprint):
        different += ["other images in train or val"]
    for what in different:
        raise TrainingError(
            f"{folder} was started with {what}: give it the images that it was started with, "
            "or choose another -o"
        )


def check_same_teacher(folder: Path, saved: SavedRun, teacher: str, digest: str | None) -> None:
    """Raise TrainingError if the teacher, a file outside the folder, has other weights now."""
    if saved.checkpoint.training.get("teacher_digest") != digest:
        raise TrainingError(
            f"{folder} was started with a teacher of other weights than {teacher}: give it that "
            "one with --teacher, or choose another -o"
        )


def _option(field: str) -> str:
    return "--" + field.removeprefix("data.").replace("_", "-")


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "by default" if value is None else value


def _options(config: TrainConfig) -> dict[str, Any]:
    options: dict[str, Any] = encode(config)
    if Path(config.init or "").is_file():  # the same file, however the path is written
        options["init"] = str(Path(options["init"]).resolve())
    data = options.pop("data")
    return {**options, **{f"data.{name}": value for name, value in data.items()}}
