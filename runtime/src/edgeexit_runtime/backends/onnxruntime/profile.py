"""The precisions that ONNX Runtime runs a bundle's layers in, from its profile of one run."""

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
"""Precision by the types of a node's inputs; if there are several, the first here."""


def layer_precisions(opener: SessionOpener, bundle: Bundle) -> str:
    """Run every graph once on zeros; return the input types of convolutions and products.

    Raises:
        BackendError: a graph cannot be run, or the profile cannot be written.
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
        node = event.get("args", {})
        inputs = node.get("input_type_shape")  # None for fences, which ONNX Runtime 1.18 lists too
        if inputs is not None and any(word in node.get("op_name", "") for word in HEAVY):
            types = {name for tensor in inputs for name in tensor}
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
    except (OSError, ValueError) as error:  # ONNX Runtime truncates it silently on a full disk
        raise BackendError(
            f"{entry.file}: ONNX Runtime's profile, which has the precisions of its layers, cannot "
            f"be written to a temporary file ({error}); make room for it, or set TMPDIR to a "
            "folder with room"
        ) from error
    return events
