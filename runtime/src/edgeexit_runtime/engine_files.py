"""The files of a build: written under names of their own, and taken over all at once.

Writing the manifest is the one moment at which a bundle changes. Before it, nothing that the old
manifest names is touched; behind it, what the new one does not name is removed. A process that is
killed leaves files that nobody reads, and the next build sweeps them away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from edgeexit_runtime.bundle import Bundle
from edgeexit_runtime.engine_entry import ENGINE_SUFFIX, EngineEntry
from edgeexit_runtime.errors import BundleError
from edgeexit_runtime.folder_lock import LOCK_NAME
from edgeexit_runtime.manifest import MANIFEST_NAME, Manifest, load_manifest, manifest_json

__all__ = [
    "explained",
    "free_name",
    "is_leftover",
    "put_in_place",
    "replace_file",
    "sweep",
    "temporary_path",
]

TEMPORARY = ".building"
HASHED = re.compile(rf"(.+)-[0-9a-f]{{8}}{re.escape(ENGINE_SUFFIX)}")


def free_name(manifest: Manifest, graph: str, sha256: str) -> str:
    """Return a name for a new engine: the graph's, or with a hash where that one is in use."""
    name = f"{graph}{ENGINE_SUFFIX}"
    if name in {entry.file for entry in manifest.engines}:
        return f"{graph}-{sha256[:8]}{ENGINE_SUFFIX}"
    return name


def put_in_place(
    bundle: Bundle, written: dict[Path, EngineEntry], engines: tuple[EngineEntry, ...]
) -> None:
    """Give new engines their names, and the manifest, read again, the news of them.

    Args:
        bundle: as it was before the build.
        written: temporary files, and what they hold.
        engines: all of the bundle's from now on.
    """
    before = load_manifest(bundle.folder)
    for temporary, entry in written.items():
        with explained(bundle.folder / entry.file):
            temporary.replace(bundle.folder / entry.file)
    manifest = dataclasses.replace(before, engines=engines)
    replace_file(bundle.folder / MANIFEST_NAME, manifest_json(manifest).encode())
    for name in before.files() - manifest.files():
        _remove(bundle.folder / name)


def sweep(bundle: Bundle) -> None:
    """Remove what builds that were killed have left; no other build may be running."""
    for path in bundle.folder.iterdir():
        if path.name != LOCK_NAME and is_leftover(path.name, bundle.manifest):
            _remove(path)


def is_leftover(name: str, manifest: Manifest) -> bool:
    """Whether a file of that name in a bundle's folder is what a killed build has left there."""
    hashed = HASHED.fullmatch(name)
    if hashed is not None:
        return hashed[1] in manifest.all_graphs() and name not in manifest.files()
    return name == LOCK_NAME or (name.startswith(".") and name.endswith(TEMPORARY))


def temporary_path(path: Path) -> Path:
    """Return a name beside a file, which nothing else has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there.

    Raises:
        BundleError: it cannot be written.
    """
    temporary = temporary_path(path)
    with explained(path):
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say of what cannot be written which file it is and why.

    Raises:
        BundleError: an OSError came.
    """
    try:
        yield
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror})") from error


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # it does no harm, and the next build tries again
        path.unlink(missing_ok=True)
