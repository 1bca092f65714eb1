"""What ONNX Runtime really computes a bundle's layers in, by its own profile of one run."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeexit_runtime.backends.onnxruntime.sessions import SessionOpener
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import THRESHOLD, GraphEntry
from edgeexit_runtime.errors import BackendError

HEAVY = ("Conv", "Gemm", "MatMul")  # parts of names, such as of QLinearConv and FusedGemm
NAMES = {"int8": "int8", "uint8": "int8", "float16": "fp16", "bfloat16": "bf16", "float": "fp32"}
"""By the types of what a node reads; of several the first here."""


def layer_precisions(opener: SessionOpener, bundle: Bundle) -> str:
    """Run every graph once on zeros; return which types convolutions and products read.

    Raises:
        BackendError: a graph cannot be run, or the profile not be written.
        BundleError: a file changed since it was loaded.
    """
    manifest = bundle.manifest
    counts = Counter(
        precision
        for name, entry in manifest.graphs()
        for precision in _of_graph(opener, entry, bundle.read(entry), name in manifest.exit_names)
    )
    return ", ".join(f"{precision} {count}" for precision, count in counts.most_common()) or "none"


def _of_graph(
    opener: SessionOpener, entry: GraphEntry, content: bytes, gated: bool
) -> Iterator[str]:
    for event in _profile(opener, entry, content, gated):
        about = event.get("args", {})
        read = about.get("input_type_shape")  # not of the fences that ONNX Runtime 1.18 lists too
        if read is not None and any(word in about.get("op_name", "") for word in HEAVY):
            types = {name for tensor in read for name in tensor}
            yield next((NAMES[name] for name in NAMES if name in types), "other")


def _profile(
    opener: SessionOpener, entry: GraphEntry, content: bytes, gated: bool
) -> list[dict[str, Any]]:
    """Return the events of one run."""
    inputs = {info.name: np.zeros((1, *info.shape), info.dtype) for info in entry.inputs}
    if gated:
        inputs[THRESHOLD] = np.zeros(1, np.float32)
    try:
        with tempfile.TemporaryDirectory(prefix="edgeexit-") as folder:
            prefix = Path(folder) / "profile"
            session = opener.open_graph(entry, content, gated=gated, profile=prefix)
            session.run(None, inputs)
            events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_bytes())
    except (OSError, ValueError) as error:  # ONNX Runtime is silent where it cannot write it all
        raise BackendError(
            f"{entry.file}: ONNX Runtime's profile of it, which says what layers are computed in, "
            f"cannot be kept for a moment ({error}); make room for temporary files, or let TMPDIR "
            "name a folder with room"
        ) from error
    return events
