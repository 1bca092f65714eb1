"""Output for a single file and for a model repository, also of ``export --format``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from edgeexit_runtime.bundle.schema import encode

from edgeexit.cli.terminal import say
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit.export.single.packing import PackedFile
    from edgeexit.export.triton.repository import ModelRepository

MB = 1e6


def packed_json(packed: PackedFile) -> dict[str, Any]:
    """Return all printed results as JSON values; sizes in bytes."""
    return {
        "file": str(packed.file),
        "size_bytes": packed.size_bytes,
        "decisions": packed.proof.decisions,
        **encode(packed.proof),
        "warnings": list(packed.about.warnings),
    }


def print_packed(packed: PackedFile) -> None:
    """Print a single file's verification, warnings about engines, and the next command."""
    proof = packed.proof
    left = ", ".join(f"{name} {count:,}" for name, count in proof.left_at.items())
    say(
        f"{packed.file}: {packed.size_bytes / MB:.2f} MB in {packed.about.precision}; "
        f"{proof.decisions:,} labels and exits are the bundle's, of {proof.samples} images "
        f"({proof.source}) at {len(proof.settings)} settings of thresholds, alone and in batches "
        f"(left at {left}; {proof.by_rounding} others by rounding)"
    )
    for line in packed.about.warnings:
        say(line)
    say(f"its inputs and outputs: {format_command('inspect', packed.file)}")


def repository_json(repository: ModelRepository) -> dict[str, Any]:
    """Return all printed results as JSON values; sizes in bytes."""
    return {
        "repository": str(repository.folder),
        **{key: value for key, value in encode(repository).items() if key != "folder"},
    }


def print_repository(repository: ModelRepository) -> None:
    """Print the contents of a repository, warnings about the server, and how to start it."""
    thresholds = ", ".join(f"{name} {value:g}" for name, value in repository.thresholds.items())
    say(
        f"{repository.folder}: {repository.name}, which chains {len(repository.parts)} parts of "
        f"{repository.platform}, {repository.size_bytes / MB:.2f} MB; thresholds "
        f"{thresholds or 'none'}, batches of up to {repository.max_batch}"
    )
    for line in repository.warnings:
        say(line)
    config = repository.folder / repository.name / "config.pbtxt"
    command = shlex.join(["tritonserver", "--model-repository", str(repository.folder)])
    say(f"thresholds are in {config}; next: {command}")
