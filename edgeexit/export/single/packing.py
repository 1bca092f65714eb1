"""A bundle -> a single file, proven against it before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.progress import Progress, untold
from numpy.typing import NDArray

from edgeexit.errors import ExportError
from edgeexit.export.single.about import SingleFile, describe, write_metadata
from edgeexit.export.single.nested import nested_model
from edgeexit.export.single.proof import SingleProof, prove_single
from edgeexit.files import replace_file


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A single file that was written, and how it was proven."""

    file: Path
    size_bytes: int
    about: SingleFile
    proof: SingleProof


def check_file_name(output: Path) -> None:
    """Check that a single file may have this name.

    Raises:
        ExportError: it does not end in ``.onnx``.
    """
    if output.suffix != ".onnx":
        raise ExportError(f"-o: expected a file's name that ends in .onnx, got {output}")


def pack_bundle(
    folder: Path,
    output: Path,
    samples: NDArray[np.float32],
    source: str,
    progress: Progress = untold,
    *,
    required_thresholds: bool = False,
) -> PackedFile:
    """Write the single file of a bundle, see :func:`edgeexit.export.single.nested.nested_model`.

    Args:
        folder: of the bundle.
        output: the file, which is replaced.
        samples: real images (N, C, H, W), normalized, to prove it on.
        source: where these come from, for the record.
        progress: told of every step.
        required_thresholds: whether every call has to give thresholds.

    Raises:
        BundleError: the folder holds no bundle, or its parts do not fit together.
        ExportError: the name is no ONNX file's, or the file does not answer as the bundle does.
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
