"""Measures the value range of each tensor, on the features that flow into each graph.

The exported FP32 graphs are run one after another, so stage m + 1 and the branch behind it read
the outputs of stage m for the calibration images. One pass feeds every method; histograms and the
choice of a range from them are onnxruntime's.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.graphs.parts import Graph
from edgeexit.export.int8.rounding import Bounds
from edgeexit.export.verification import batches

CHUNK = 16  # images at once: every watched tensor of one graph is in memory
PERCENTILE = 99.99
# The bins cover both sides of 0; the narrowest range that is tried is the 128 in the middle. With
# onnxruntime's default of 128 bins in all, entropy would always keep the whole range.
ENTROPY_BINS, QUANTIZED_BINS = 512, 128
PERCENTILE_BINS = 2048


Ranges = dict[str, dict[str, Bounds]]
"""Result of one method: the least and greatest value to represent, by graph and tensor."""


def measure_ranges(
    graphs: Sequence[Graph],
    tensors: Mapping[str, Sequence[str]],
    images: NDArray[np.float32],
    methods: Sequence[str],
) -> dict[str, Ranges]:
    """Return the ranges that each method finds for ``tensors`` of each graph.

    ``minmax`` keeps every value, ``percentile`` clips one in ten thousand, and ``entropy`` clips
    where the distribution loses least (Kullback-Leibler divergence). A method chooses the largest
    magnitude; the range is that of the values, clipped to it.

    Args:
        graphs: FP32, in the order of execution.
        tensors: by graph, the names of the tensors to measure.
        images: (N, C, H, W) float32, normalized.
        methods: of :data:`~edgeexit_runtime.bundle.quantization_entry.CALIBRATION_METHODS`.
    """
    flow = GraphFlow(graphs, tensors)
    meters = {graph.name: _Meters(methods) for graph in graphs}
    for part in batches(len(images), CHUNK):
        for name, inputs, outputs in flow.run(images[part]):
            values = {**inputs, **outputs}
            meters[name].see({tensor: values[tensor] for tensor in tensors.get(name, ())})
    return {
        method: {name: meter.bounds(method) for name, meter in meters.items()} for method in methods
    }


class _Meters:
    """Statistics of the tensors of one graph, for several methods."""

    def __init__(self, methods: Sequence[str]) -> None:
        self._seen: dict[str, Bounds] = {}
        self._collectors: dict[str, Any] = {
            method: HistogramCollector(
                method,
                symmetric=True,
                num_bins=ENTROPY_BINS if method == "entropy" else PERCENTILE_BINS,
                num_quantized_bins=QUANTIZED_BINS,
                percentile=PERCENTILE,
                scenario="same",
            )
            for method in methods
            if method != "minmax"
        }

    def see(self, values: Mapping[str, NDArray[Any]]) -> None:
        for name, array in values.items():
            least, greatest = self._seen.get(name, (math.inf, -math.inf))
            self._seen[name] = min(least, float(array.min())), max(greatest, float(array.max()))
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            for collector in self._collectors.values():
                collector.collect(values)

    def bounds(self, method: str) -> dict[str, Bounds]:
        if method == "minmax" or not self._seen:
            return dict(self._seen)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            found = self._collectors[method].compute_collection_result()
        result = {}
        for name, (least, greatest) in self._seen.items():
            low, high = found[name][:2]
            # 0 where nearly all values are 0: then the full range of the others is kept
            chosen = max(abs(float(low)), abs(float(high))) or math.inf
            result[name] = max(least, -chosen), min(greatest, chosen)
        return result
