"""Finds the networks of figures: checkpoints, folders of runs, and bundles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, Manifest, load_manifest

from edgeexit.errors import InputError
from edgeexit.paths import is_file, is_folder
from edgeexit.scores import SOFTMAX
from edgeexit.training.checkpoint import Checkpoint, load_checkpoint

CHECKPOINT_NAME = "ckpt.pt"
LONGEST_FILE_NAME = 80


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A network that was found.

    Attributes:
        name: the end of its path, as long as needed to be unique.
        path: the checkpoint's file or the bundle's folder.
        network: the checkpoint, or the bundle's manifest.
    """

    name: str
    path: Path
    network: Checkpoint | Manifest


def find_sources(
    paths: Sequence[Path], load: Callable[[Path], Checkpoint] = load_checkpoint
) -> list[Source]:
    """Return the network at each path: a checkpoint, a run's folder with one, or a bundle's folder.

    Raises:
        InputError: there is no network, a path is given twice, or a network has another score.
        DataError: the path cannot be examined.
        CheckpointError, BundleError: the file or bundle is damaged.
    """
    found = [_find(path) for path in paths]
    for index, path in enumerate(found):
        if path.resolve() in [earlier.resolve() for earlier in found[:index]]:
            raise InputError(f"{paths[index]}: given twice; name every network once")
    names = _unique_names(found)
    sources = [
        Source(name, path, load_manifest(path) if path.is_dir() else load(path))
        for name, path in zip(names, found, strict=True)
    ]
    for source in sources:
        score = source.network.score
        if score != SOFTMAX:
            raise InputError(
                f"{source.path}: expected the score {SOFTMAX}, as in the paper's figures, "
                f"got {score}; tune the network with --score {SOFTMAX}"
            )
    return sources


def file_names(names: Sequence[str]) -> list[str]:
    """Return a unique part of a file name for each network, valid on any file system."""
    given: list[str] = []
    for name in names:
        safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip("-.")[-LONGEST_FILE_NAME:] or "network"
        unique, number = safe, 1
        while unique.lower() in {other.lower() for other in given}:  # some disks ignore case
            number += 1
            unique = f"{safe}-{number}"
        given.append(unique)
    return given


def _find(path: Path) -> Path:
    if not is_folder(path):
        return path  # load_checkpoint reports errors
    for name, found in ((MANIFEST_NAME, path), (CHECKPOINT_NAME, path / CHECKPOINT_NAME)):
        if is_file(path / name):
            return found
    raise InputError(
        f"{path}: expected a checkpoint, the folder of a run with a {CHECKPOINT_NAME}, or the "
        f"folder of a bundle with a {MANIFEST_NAME}; give what 'edgeexit train' or 'edgeexit "
        "export' wrote"
    )


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the end of each path, with as many parts as needed to be unique."""
    parts = [_name_parts(path.resolve()) for path in paths]
    names = []
    for index, own in enumerate(parts):
        others = parts[:index] + parts[index + 1 :]
        # a file's own name, such as tuned.pt, is not enough without its run's
        length = min(len(own), 2 if _is_other_file(paths[index]) else 1)
        while length < len(own) and any(other[-length:] == own[-length:] for other in others):
            length += 1
        names.append("/".join(own[-length:]))
    return names


def _is_other_file(path: Path) -> bool:
    return path.name != CHECKPOINT_NAME and not path.is_dir()


def _name_parts(path: Path) -> tuple[str, ...]:
    """Return the parts of a path that name a network; a run is named after its folder."""
    parts = path.parts[1:] or ("network",)
    if path.name == CHECKPOINT_NAME and len(parts) > 1:
        return parts[:-1]
    return (*parts[:-1], path.stem if path.suffix == ".pt" else path.name)
