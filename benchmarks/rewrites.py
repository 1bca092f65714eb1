"""Time saved by writing FP32 graphs for blocks of channels: each part before and after, in pairs.

    python benchmarks/rewrites.py [--duration 3]

Parts of ResNet-20 3+1 and ResNet-18 4+3+2 with random weights, as they are traced and as a bundle
has them (``edgeexit/export/graphs/blocked.py``), in ONNX Runtime on one thread. A figure is the
time after over the time before; the note has both, and the nodes that ONNX Runtime runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from goals import Figure, finish, parser_of
from pairs import time_pairs

from edgeexit.export import PRECISIONS, Graph
from edgeexit.export.graphs.blocked import keep_in_blocks
from edgeexit.export.graphs.flow import GraphFlow
from edgeexit.export.graphs.making import export_graphs
from edgeexit.models import make_spec
from edgeexit.models.partition import partition
from edgeexit.planning.candidates import noise, random_network

NETWORKS = (("resnet20", "3+1", 10, 32), ("resnet18", "4+3+2", 1000, 224))
OPSET = 18


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--duration", type=float, default=3, help="seconds per part (default 3)")
    options = parser.parse_args()
    figures = [
        figure
        for backbone, branches, classes, pixels in NETWORKS
        for figure in compare(backbone, branches, classes, pixels, options.duration, options.seed)
    ]
    finish("time of a part as a bundle has it, over that of the traced one", figures, options.json)


def compare(
    backbone: str, branches: str, classes: int, pixels: int, duration_s: float, seed: int
) -> Iterator[Figure]:
    """Yield a figure for every part of a network."""
    size = (3, pixels, pixels)
    parts = partition(random_network(make_spec(backbone, branches, classes, size)))
    traced = list(export_graphs(parts, PRECISIONS["fp32"], True, lambda step: None, opset=OPSET))
    flow = GraphFlow(traced)
    for graph, (_, inputs, outputs) in zip(traced, flow.run(noise(1, size, seed)), strict=True):
        feeds = {**inputs, **({"threshold": np.zeros(1, np.float32)} if "exits" in outputs else {})}
        before, nodes_before = opened(graph, feeds)
        after, nodes_after = opened(keep_in_blocks(graph), feeds)
        pairs = time_pairs(after, before, duration_s=duration_s, seed=seed, settle=True)
        yield Figure(
            f"{backbone} {branches}, {graph.name}",
            pairs.ratio.median,
            "",
            note=f"{pairs.ratio}; {pairs.note}; {nodes_after} and {nodes_before} nodes",
        )


def opened(graph: Graph, feeds: dict[str, np.ndarray]) -> tuple[Callable[[], object], int]:
    """Return a call of a graph with bound inputs, and its number of nodes in ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # it warns that such a model is for this machine only
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(graph.content, options, providers=providers)
        nodes = len(onnx.load(options.optimized_model_filepath).graph.node)
    binding = session.io_binding()
    for name, value in feeds.items():
        binding.bind_cpu_input(name, value)
    for tensor in session.get_outputs():
        binding.bind_output(tensor.name)
    return lambda: session.run_with_iobinding(binding), nodes


if __name__ == "__main__":
    main()
