"""Another model on the same images: a second bundle, or any ONNX classifier."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgeexit_runtime import Manifest, Session, load, load_manifest

from edgeexit.bench.images import BenchImages
from edgeexit.bench.results.mixture import VERSUS
from edgeexit.bench.results.options import BenchOptions
from edgeexit.bench.timing.candidates import Candidate
from edgeexit.errors import InputError
from edgeexit.fitting import class_differences, image_differences
from edgeexit.paths import is_file, is_folder


def check_versus(images: BenchImages | None, options: BenchOptions) -> None:
    """Raise :class:`InputError` if another model is named and there are no images."""
    if images is None and options.versus is not None:
        raise InputError(
            "versus: expected real images, got none: two networks are compared on the same "
            "images; give --dataset, --images or --npz"
        )


@contextmanager
def open_versus(path: Path, manifest: Manifest, chosen: Mapping[str, Any]) -> Iterator[Candidate]:
    """Open the other model that a bundle is compared with, in the same runtime.

    It must have the bundle's classes and input size and, if it is a bundle, its preprocessing.

    Args:
        path: a bundle's folder, which runs at its own thresholds, or an ``.onnx`` file: see
            :func:`edgeexit.bench.timing.onnx_model.write_static_bundle`.
        chosen: backend, providers, threads and device: arguments of :func:`edgeexit_runtime.load`.

    Raises:
        BundleError: the folder holds no bundle.
        BackendError: the backend is not available, or cannot run the file.
        DataError: the file is no ONNX classifier of one input and one output.
        InputError: it does not fit the bundle.
    """
    name = path.name or path.resolve().name
    if is_folder(path):
        _check_fits(path, load_manifest(path), manifest)
        with load(path, **chosen) as session:
            yield _candidate(name, session, manifest)
        return
    if not is_file(path):
        raise InputError(
            f"{path}: no such file or folder; expected a bundle of 'edgeexit export' or an ONNX "
            "file to compare with"
        )
    from edgeexit.bench.timing.onnx_model import write_static_bundle  # imports onnx

    with tempfile.TemporaryDirectory(prefix="edgeexit-") as folder:
        write_static_bundle(path, manifest, Path(folder))
        with load(folder, **chosen) as session:
            yield _candidate(name, session, manifest)


def _candidate(name: str, session: Session, manifest: Manifest) -> Candidate:
    """Return the other model; its name includes its precision if that differs."""
    other = session.manifest
    if other.precision != manifest.precision:
        name = f"{name} ({other.precision})"
    return Candidate(VERSUS, name, session, other.thresholds)


def _check_fits(path: Path, other: Manifest, manifest: Manifest) -> None:
    """Raise :class:`InputError` if the bundles differ in classes, input size or preprocessing."""
    different = [
        *class_differences(manifest.class_names, other.class_names),
        *image_differences(manifest.preprocessing, other.preprocessing),
    ]
    if different:
        raise InputError(
            f"{path}: expected the bundle's {'; '.join(different)}; compare networks of the same "
            "data set and input size"
        )
