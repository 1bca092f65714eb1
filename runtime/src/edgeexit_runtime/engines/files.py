"""The files of a build: written under new names, and put in place together.

A bundle changes at one moment, when the manifest is written. Before it, no file that the old
manifest names is touched; after it, files that the new one does not name are removed. A killed
process leaves files that are never read, and the next build removes them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from edgeexit_runtime.backends.tensorrt.runtime_cache import RUNTIME_CACHE
from edgeexit_runtime.bundle.engine_entry import ENGINE_SUFFIX, EngineEntry
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, Manifest, load_manifest, manifest_json
from edgeexit_runtime.errors import BundleError
from edgeexit_runtime.system.files import is_temporary, replace_file
from edgeexit_runtime.system.locks import LOCK_NAME

TIMING_CACHE = "timing.cache"
"""Kernel timings of earlier builds, which make the next one faster; TensorRT's own format."""
TIMING_CACHE_MAX_BYTES = 2**28

ENGINE = re.compile(rf"(.+?)(-[0-9a-f]{{8}})?{re.escape(ENGINE_SUFFIX)}")  # see free_name


def free_name(manifest: Manifest, graph: str, sha256: str) -> str:
    """Return a name for a new engine: the graph's, with a hash if that name is in use."""
    name = f"{graph}{ENGINE_SUFFIX}"
    if name in {entry.file for entry in manifest.engines}:
        return f"{graph}-{sha256[:8]}{ENGINE_SUFFIX}"
    return name


def put_in_place(
    bundle: Bundle, written: dict[Path, EngineEntry], engines: tuple[EngineEntry, ...]
) -> None:
    """Rename new engines to their final names, and write the manifest, read again, with them.

    Args:
        bundle: the bundle before the build.
        written: temporary files and their entries.
        engines: all engines of the bundle after the build.
    """
    before = load_manifest(bundle.folder)
    for temporary, entry in written.items():
        with explained(bundle.folder / entry.file):
            temporary.replace(bundle.folder / entry.file)
    manifest = dataclasses.replace(before, engines=engines)
    write_file(bundle.folder / MANIFEST_NAME, manifest_json(manifest).encode())
    for name in before.files() - manifest.files():
        _remove(bundle.folder / name)


def remove_leftovers(bundle: Bundle) -> None:
    """Remove files that killed processes have left; the bundle's lock must be held."""
    for path in bundle.folder.iterdir():
        if path.name != LOCK_NAME and is_leftover(path.name, bundle.manifest):
            _remove(path)


def is_leftover(name: str, manifest: Manifest) -> bool:
    """Whether a file of that name in a bundle's folder was left by a killed process."""
    graphs = manifest.all_graphs()
    engine = ENGINE.fullmatch(name)
    if engine is not None and engine[1] in graphs:
        return name not in manifest.files()
    engines = (f"{graph}{ENGINE_SUFFIX}" for graph in graphs)
    written = (MANIFEST_NAME, TIMING_CACHE, RUNTIME_CACHE, *engines)
    return name == LOCK_NAME or any(is_temporary(name, target) for target in written)


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        BundleError: it cannot be written.
    """
    with explained(path), replace_file(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Convert an OSError in the block to an error that names the file and the reason.

    Raises:
        BundleError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror})") from error


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is harmless, and the next build tries again
        path.unlink(missing_ok=True)
