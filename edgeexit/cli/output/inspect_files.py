"""Output of ``edgeexit inspect`` for a checkpoint, a bundle or a single file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from edgeexit_runtime.errors import printable

from edgeexit.cli.terminal import print_json, say
from edgeexit.formats import format_guarantee, format_threshold

if TYPE_CHECKING:
    from edgeexit_runtime import Manifest
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.export.single.about import SingleFile

SHOWN = 80  # characters shown of a name that comes from the file


@dataclass(frozen=True, slots=True)
class _Written:
    """Contents of a checkpoint, a bundle or a single file.

    Attributes:
        guarantee: the guarantee stored with its thresholds.
        tensors: inputs and outputs of a single file, in words.
        warnings: warnings about engines that run a single file.
    """

    kind: str
    backbone: str
    branches: str
    precision: str
    input_size: tuple[int, int, int]
    num_classes: int
    trained_on: str
    score: str
    thresholds: dict[str, float]
    guarantee: Guarantee | None
    tensors: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def is_written(reference: str) -> bool:
    """Whether it is the path of a file or folder; a bundle alone may be named as a backbone is."""
    path = Path(reference)
    if path.is_dir() and not (path / MANIFEST_NAME).is_file():
        from edgeexit.models import list_backbones

        return reference not in list_backbones()
    return path.is_dir() or path.is_file()


def print_written(path: Path, as_json: bool) -> None:
    """Print what a checkpoint, a bundle or a single file holds.

    Raises:
        CheckpointError, BundleError, DataError: it is damaged, or something else.
    """
    read = _bundle if path.is_dir() else _single if path.suffix == ".onnx" else _checkpoint
    written = read(path)
    if as_json:
        print_json(written)
        return
    rows = {
        "branches": written.branches,
        "precision": written.precision,
        "input": "x".join(map(str, written.input_size)),
        "classes": str(written.num_classes),
        "trained on": printable(written.trained_on, SHOWN),
        "score": written.score,
        "thresholds": _listed(written.thresholds),
    }
    say(f"{path}: {written.kind} of {written.backbone}")
    for name, value in {**rows, **written.tensors}.items():
        say(f"  {name:11} {value}")
    for line in written.warnings:
        say(line)
    if written.guarantee is not None:
        say(format_guarantee(written.guarantee, written.thresholds))


def _listed(thresholds: dict[str, float]) -> str:
    return ", ".join(f"{name} {format_threshold(value)}" for name, value in thresholds.items())


def _checkpoint(path: Path) -> _Written:
    from edgeexit.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    spec = checkpoint.spec
    return _Written(
        "checkpoint",
        spec.backbone,
        spec.pattern,
        "fp32",
        spec.input_size,
        spec.num_classes,
        checkpoint.data.name,
        checkpoint.score,
        checkpoint.thresholds,
        checkpoint.guarantee,
    )


def _bundle(path: Path) -> _Written:
    from edgeexit_runtime import load_manifest

    return _exported("bundle", load_manifest(path))


def _single(path: Path) -> _Written:
    from edgeexit.export.single.about import read_single_file

    about = read_single_file(path)
    size = "x".join(map(str, about.preprocessing.input_size))
    thresholds = {}
    if about.thresholds:  # without exits that are on there is no such input
        listed = _listed(about.thresholds)
        thresholds = {"thresholds": f"in, float32 ({len(about.thresholds)},): {listed}"}
    exits = ", ".join(f"{number} {name}" for number, name in enumerate(about.exits))
    tensors = {
        "images": f"in, float32 Nx{size}, N >= 1; normalized by mean "
        f"{about.preprocessing.mean}, std {about.preprocessing.std}",
        **thresholds,
        "labels": "out, int32 (N,)",
        "confidences": "out, float32 (N,)",
        "exits": f"out, int32 (N,): {exits}",
        "logits": f"out, float32 (N, {about.model.num_classes})",
    }
    return replace(_exported("single file", about), tensors=tensors, warnings=about.warnings)


def _exported(kind: str, about: Manifest | SingleFile) -> _Written:
    model = about.model
    return _Written(
        kind,
        model.backbone,
        model.branches,
        about.precision,
        about.preprocessing.input_size,
        model.num_classes,
        str(about.data.get("name", "unknown")),
        about.score,
        about.thresholds,
        about.guarantee,
    )
