"""A bundle's engines of the double, and their records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
from tensorrt_double import EngineSpec, engine_bytes

__all__ = ["EngineRecord", "write_engines"]


@dataclass(frozen=True)
class EngineRecord:
    """What the runtime reads of a manifest's record of an engine."""

    graph: str
    file: str
    sha256: str
    size_bytes: int
    onnx_sha256: str
    library: str


def write_engines(folder: Path, library: str, sizes: dict[str, Any]) -> dict[str, EngineRecord]:
    """Write an engine of every graph beside it; return the records by graph."""
    manifest = ee.load_manifest(folder)
    graphs = dict(manifest.graphs())
    if manifest.baseline is not None:
        graphs["baseline"] = manifest.baseline.graph
    spec = EngineSpec(**{"max_batch": manifest.max_batch, **sizes})
    records = {}
    for name, graph in graphs.items():
        content = engine_bytes((folder / graph.file).read_bytes(), spec)
        file = f"{name}.plan"
        (folder / file).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        records[name] = EngineRecord(name, file, digest, len(content), graph.sha256, library)
    return records
