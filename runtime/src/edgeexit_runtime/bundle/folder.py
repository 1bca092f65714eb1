"""Opening a bundle folder: its manifest, and its files checked against it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edgeexit_runtime.bundle.engine_entry import EngineEntry
from edgeexit_runtime.bundle.external_data import check_self_contained
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, GraphEntry, Manifest, load_manifest
from edgeexit_runtime.errors import BundleError
from edgeexit_runtime.system.untrusted import file_size

Value = TypeVar("Value")

MODEL_SUFFIXES = (".onnx", ".data")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder and the manifest in it; the files are read one by one."""

    folder: Path
    manifest: Manifest

    def read(self, entry: GraphEntry | EngineEntry) -> bytes:
        """Return the contents of a file, checked against the manifest.

        Raises:
            BundleError: the file is missing, of another size, or changed.
        """
        path = self.folder / entry.file
        is_engine = isinstance(entry, EngineEntry)
        if is_engine:
            changed = "changed since it was built (SHA-256 differs)"
            again = "build or copy it again"
        else:
            changed = "changed since it was exported (SHA-256 differs)"
            again = "export or copy it again"
        size_bytes = file_size(path)
        if size_bytes is None:
            raise BundleError(f"{path}: missing from the bundle; {again}")
        if path.resolve().parent != self.folder.resolve():
            raise BundleError(f"{path}: a link out of the bundle's folder; copy the file itself")
        if size_bytes != entry.size_bytes:  # before any memory is taken for it
            raise BundleError(
                f"{path}: expected {entry.size_bytes} bytes, got {size_bytes}; it is truncated or "
                f"of another bundle, {again}"
            )
        try:
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise ValueError(changed)
            if not is_engine:
                check_self_contained(content)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
        except MemoryError as error:
            raise BundleError(f"{path}: {size_bytes} bytes, more than there is memory") from error
        except ValueError as error:
            raise BundleError(f"{path}: {error}; {again}") from error
        return content


def open_bundle(folder: str | Path) -> Bundle:
    """Open a bundle folder; model files that the manifest does not list are rejected.

    Engines that it does not list may be left over from a killed build. They are never read.

    Raises:
        BundleError: the manifest is missing or broken, or it does not list a model file.
    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    known = manifest.files()
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read ({error.strerror})") from error
    for path in found:
        if path.suffix in MODEL_SUFFIXES and path.name not in known:
            raise BundleError(f"{path}: a model file that is not of this bundle; move it elsewhere")
    return Bundle(folder, manifest)


def read_settled(folder: str | Path, read: Callable[[], Value]) -> Value:
    """Return the result of ``read``; retry if it fails while the bundle is being replaced.

    Files of two bundles are never mixed: each is compared with the manifest that was read.

    Raises:
        BundleError: the bundle is broken, and it was not replaced meanwhile.
    """
    while True:
        before = _version(folder)
        try:
            return read()
        except BundleError:
            if _version(folder) == before:
                raise


def _version(folder: str | Path) -> tuple[int, int] | None:
    """Return the identity of a folder's manifest file: each manifest is a new file."""
    try:
        status = (Path(folder) / MANIFEST_NAME).stat()
    except (OSError, ValueError):  # ValueError: no possible file name
        return None
    return status.st_ino, status.st_ctime_ns  # copies may have the same st_mtime_ns


def baseline_bundle(bundle: Bundle) -> Bundle:
    """Return the bundle's plain backbone as a bundle of its own: one exit, no stages.

    Raises:
        BundleError: the bundle was exported without it.
    """
    baseline = bundle.manifest.baseline
    if baseline is None:
        raise BundleError(
            f"{bundle.folder}: holds no plain backbone to compare with; export it with --baseline"
        )
    engines = tuple(entry for entry in bundle.manifest.engines if entry.graph == baseline.name)
    manifest = dataclasses.replace(
        bundle.manifest,
        stages=(),
        exits=(baseline,),
        baseline=None,
        engines=engines,
        guarantee=None,
        expected=None,
    )
    return Bundle(bundle.folder, manifest)
