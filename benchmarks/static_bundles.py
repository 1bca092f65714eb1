"""A bundle whose parts were quantized by ONNX Runtime's own ``quantize_static``.

It has unsigned features, signed weights per channel, and all supported operators in 8 bits, as ONNX
Runtime's documentation recommends for CPUs with VNNI. Features between parts stay FP32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime.bundle.manifest import (
    MANIFEST_NAME,
    THRESHOLD,
    ExitEntry,
    GraphEntry,
    Manifest,
    StageEntry,
    load_manifest,
    manifest_json,
)
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from edgeexit.export import Graph
from edgeexit.export.graphs.flow import GraphFlow


def write_static_bundle(source: Path, folder: Path, images: NDArray[np.float32]) -> None:
    """Write the FP32 bundle ``source`` to ``folder`` in 8 bits, calibrated on images."""
    manifest = load_manifest(source)
    entries = manifest.all_graphs()
    graphs = [
        Graph(name, (source / entry.file).read_bytes(), entry.inputs, entry.outputs)
        for name, entry in entries.items()
    ]
    feeds = _feeds(graphs, images)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = {}
    for name, entry in entries.items():
        _quantize(source / entry.file, folder / entry.file, feeds[name])
        content = (folder / entry.file).read_bytes()
        written[name] = dataclasses.replace(
            entry, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
        )
    text = manifest_json(_with_graphs(manifest, written))
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: list[dict[str, NDArray[Any]]]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._left, None)


def _feeds(graphs: list[Graph], images: NDArray[np.float32]) -> dict[str, Any]:
    """Return the inputs of each graph for each image."""
    flow = GraphFlow(graphs)
    feeds: dict[str, list[dict[str, NDArray[Any]]]] = {graph.name: [] for graph in graphs}
    for name, inputs, outputs in _run_each(flow, images):
        gated = {THRESHOLD: np.zeros(1, np.float32)} if "exits" in outputs else {}
        feeds[name].append({**inputs, **gated})
    return feeds


def _run_each(flow: GraphFlow, images: NDArray[np.float32]) -> Iterator[tuple[str, Any, Any]]:
    for place in range(len(images)):
        yield from flow.run(images[place : place + 1])


def _quantize(source: Path, target: Path, feeds: list[dict[str, NDArray[Any]]]) -> None:
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises preprocessing, which onnxsim has done
    try:
        quantize_static(
            source,
            target,
            _Feeds(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    finally:
        logger.setLevel(level)


def _with_graphs(manifest: Manifest, graphs: dict[str, GraphEntry]) -> Manifest:
    def replaced(entry: Any) -> Any:
        return dataclasses.replace(entry, graph=graphs[entry.name])

    stages: tuple[StageEntry, ...] = tuple(map(replaced, manifest.stages))
    exits: tuple[ExitEntry, ...] = tuple(map(replaced, manifest.exits))
    baseline = None if manifest.baseline is None else replaced(manifest.baseline)
    return dataclasses.replace(
        manifest, precision="int8", stages=stages, exits=exits, baseline=baseline
    )
