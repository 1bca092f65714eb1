"""``edgeexit inspect`` of what edgeexit wrote: what a checkpoint or a bundle holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexit_runtime.bundle.manifest import MANIFEST_NAME

from edgeexit.cli.common import console, print_json
from edgeexit.formats import format_guarantee, format_threshold

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee


@dataclass(frozen=True, slots=True)
class _Written:
    """What the file says of itself; ``guarantee`` is what was once shown of its thresholds."""

    kind: str
    backbone: str
    branches: str
    precision: str
    input_size: tuple[int, int, int]
    num_classes: int
    trained_on: str
    thresholds: dict[str, float]
    guarantee: Guarantee | None


def is_written(reference: str) -> bool:
    """Whether there is such a file, or a bundle in such a folder."""
    path = Path(reference)
    return path.is_file() or (path / MANIFEST_NAME).is_file()


def print_written(path: Path, as_json: bool) -> None:
    """Print what a checkpoint or a bundle holds.

    Raises:
        CheckpointError, BundleError: it is damaged, or something else.
    """
    from edgeexit_runtime.bundle.schema import encode

    written = _checkpoint(path) if path.is_file() else _bundle(path)
    if as_json:
        print_json(encode(written))
        return
    rows = {
        "branches": written.branches,
        "precision": written.precision,
        "input": "x".join(map(str, written.input_size)),
        "classes": str(written.num_classes),
        "trained on": written.trained_on,
        "thresholds": ", ".join(
            f"{name} {format_threshold(value)}" for name, value in written.thresholds.items()
        ),
    }
    out = console()
    out.print(f"{path}: {written.kind} of {written.backbone}", soft_wrap=True)
    for name, value in rows.items():
        out.print(f"  {name:11}{value}", soft_wrap=True)
    if written.guarantee is not None:
        out.print(format_guarantee(written.guarantee, written.thresholds), soft_wrap=True)


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
        checkpoint.thresholds,
        checkpoint.guarantee,
    )


def _bundle(path: Path) -> _Written:
    from edgeexit_runtime import load_manifest

    manifest = load_manifest(path)
    model = manifest.model
    return _Written(
        "bundle",
        model.backbone,
        model.branches,
        manifest.precision,
        manifest.preprocessing.input_size,
        model.num_classes,
        str(manifest.data.get("name")),
        manifest.thresholds,
        manifest.guarantee,
    )
