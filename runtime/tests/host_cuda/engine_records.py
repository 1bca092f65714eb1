"""A bundle's engines of the double, and the manifest that records them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
from edgeexit_runtime.bundle.engine_entry import (
    ENGINE_SUFFIX,
    FROM_NETWORK,
    EngineEntry,
    EngineOptions,
)
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, manifest_json
from tensorrt_double import VERSIONS, EngineSpec, engine_bytes

GPU, CAPABILITY = "host CUDA", "8.6"  # of the host's driver


def write_engines(
    folder: Path,
    library: str = "tensorrt",
    gpu: str = GPU,
    capability: str = CAPABILITY,
    **sizes: Any,
) -> dict[str, EngineEntry]:
    """Write an engine of every graph and record them; return the records by graph.

    ``gpu`` and its compute capability are where they were built; ``sizes`` are those of an
    :class:`EngineSpec`.
    """
    manifest = ee.load_manifest(folder)
    entries = {}
    for position, (name, graph) in enumerate(manifest.all_graphs().items()):
        scratch_bytes = 1000 + 500 * (position % 3)  # the largest is neither first nor last
        defaults = {"max_batch": manifest.max_batch, "scratch_bytes": scratch_bytes}
        spec = EngineSpec(**{**defaults, **sizes})
        content = engine_bytes((folder / graph.file).read_bytes(), spec)
        (folder / f"{name}{ENGINE_SUFFIX}").write_bytes(content)
        is_rtx = library == "tensorrt-rtx"
        entries[name] = EngineEntry(
            graph=name,
            file=f"{name}{ENGINE_SUFFIX}",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            onnx_sha256=graph.sha256,
            library=library,
            version=VERSIONS[library],
            gpu=None if is_rtx else gpu,
            compute_capability=None if is_rtx else capability,
            precision=manifest.precision,
            max_batch=manifest.max_batch,
            options=EngineOptions(),
            layers={"fp32": 1.0},
            layers_from=FROM_NETWORK,
        )
    record(folder, entries)
    return entries


def record(folder: Path, entries: dict[str, EngineEntry]) -> None:
    """Make these the engines of the manifest."""
    manifest = dataclasses.replace(ee.load_manifest(folder), engines=tuple(entries.values()))
    (folder / MANIFEST_NAME).write_text(manifest_json(manifest), encoding="utf-8")
