"""A bundle -> a single file, verified against the bundle before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.progress import Progress, ignore_progress
from numpy.typing import NDArray

from edgeexit.errors import ExportError
from edgeexit.export.single.about import SingleFile, describe, write_metadata
from edgeexit.export.single.nested import nested_model
from edgeexit.export.single.proof import SingleProof, prove_single
from edgeexit.files import replace_file


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A single file that was written, and its verification."""

    file: Path
    size_bytes: int
    about: SingleFile
    proof: SingleProof


def check_file_name(output: Path) -> None:
    """Check the name of a single file.

    Raises:
        ExportError: it does not end in ``.onnx``.
    """
    if output.suffix != ".onnx":
        raise ExportError(f"-o: expected a file name that ends in .onnx, got {output}")


def pack_bundle(
    folder: Path,
    output: Path,
    samples: NDArray[np.float32],
    source: str,
    progress: Progress = ignore_progress,
    *,
    required_thresholds: bool = False,
) -> PackedFile:
    """Write the single file of a bundle, see :func:`edgeexit.export.single.nested.nested_model`.

    Args:
        folder: the bundle's folder.
        output: the file; an existing one is replaced.
        samples: real images (N, C, H, W), normalized, to verify it on.
        source: where the samples come from, for the record.
        progress: called with every step.
        required_thresholds: whether every call has to give thresholds.

    Raises:
        BundleError: the folder holds no bundle, or its parts do not fit together.
        ExportError: the name does not end in ``.onnx``, or the file's answers differ from the
            bundle's.
        WriteError: the file cannot be written.
    """
    check_file_name(output)
    bundle = open_bundle(folder)
    progress("graph", 0.0)
    model = nested_model(bundle, required_thresholds=required_thresholds)
    about = describe(bundle.manifest)
    write_metadata(model, about)
    content: bytes = model.SerializeToString(deterministic=True)
    proof = prove_single(content, bundle, samples, source, progress)
    with replace_file(output) as temporary:
        temporary.write_bytes(content)
    return PackedFile(output, len(content), about, proof)
