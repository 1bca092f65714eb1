"""Runs graphs in memory one after another, and gives the inputs and outputs of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from edgeexit_runtime.backends.reference import open_reference_model
from edgeexit_runtime.bundle.manifest import IMAGES, THRESHOLD
from numpy.typing import NDArray

from edgeexit.export.graphs.parts import Graph


class GraphFlow:
    """Stages and exits of one network, and other graphs that read the images.

    Args:
        graphs: in the order of execution; a stage's outputs are fed to the graphs after it.
        watched: by graph, tensors to return beside its outputs. Inputs and outputs may be among
            them.
        thresholds: by exit; 0 where there is none.
    """

    def __init__(
        self,
        graphs: Sequence[Graph],
        watched: Mapping[str, Sequence[str]] | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self._graphs = tuple(graphs)
        self._watched = watched or {}
        self._thresholds = thresholds or {}
        self._sessions = {
            graph.name: _open(graph, self._watched.get(graph.name, ())) for graph in graphs
        }

    def run(
        self, images: NDArray[np.float32]
    ) -> Iterator[tuple[str, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
        """Yield each graph's name, inputs, and outputs with watched tensors, of (N, C, H, W)."""
        features: dict[str, NDArray[Any]] = {IMAGES: images}
        for graph in self._graphs:
            session = self._sessions[graph.name]
            inputs = {info.name: features[info.name] for info in graph.inputs}
            feeds = dict(inputs)
            if THRESHOLD in session.inputs:
                feeds[THRESHOLD] = np.array([self._thresholds.get(graph.name, 0.0)], np.float32)
            results = session.run(feeds)
            if THRESHOLD not in feeds:
                features.update({info.name: results[info.name] for info in graph.outputs})
            yield graph.name, inputs, results


def _open(graph: Graph, watched: Sequence[str]) -> Any:
    model = onnx.load_from_string(graph.content)
    known = {tensor.name for tensor in (*model.graph.input, *model.graph.output)}
    for name in watched:
        if name not in known:
            model.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
    return open_reference_model(model.SerializeToString())
