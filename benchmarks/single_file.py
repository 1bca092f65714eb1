"""Time of a single file over the session of its bundle, as paired ratios in one run.

    python benchmarks/single_file.py [--duration 5] [--bundles FOLDER]

Each pair is one ``InferenceSession.run`` of the file of ``edgeexit pack``, thresholds given, and
one ``session.infer`` over ONNX Runtime: one image, one thread per graph, in random order, each
after an untimed call of its own. Weights are random and exits forced; branches on the way are run.
First, both are checked for equal answers. FP16 has no goal on CPUs, which compute it as FP32.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from edgeexit_runtime import load
from edgeexit_runtime.bundle.folder import open_bundle
from goals import Figure, finish, parser_of
from pairs import time_pairs
from random_bundles import Network, force

from edgeexit.export import PRECISIONS, CalibrationImages, Precision, Quantization
from edgeexit.export.single.nested import nested_model
from edgeexit.planning.candidates import export_untrained, noise, random_network, untrained

MAX_RATIO = 1.05
NETWORKS = (Network("resnet20", "3+1", 10, 32), Network("resnet18", "4+3+2", 1000, 224))


def int8(target: str) -> Precision:
    """Return INT8 of a target; the file is compared with its own bundle."""
    quantization = Quantization("all", "minmax", "fp32", target)
    return untrained(PRECISIONS["int8"].quantized(quantization))


FORMS = {
    "FP32": PRECISIONS["fp32"],
    "FP16": PRECISIONS["fp16"],
    "INT8 cpu": int8("cpu"),
    "INT8 tensorrt": int8("tensorrt"),
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--duration", type=float, default=5, help="seconds per path (default 5)")
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as temporary:
        for network in NETWORKS:
            for form, precision in FORMS.items():
                folder = (options.bundles or Path(temporary)) / f"{network.name} {form}"
                if not folder.exists():
                    images = CalibrationImages("noise", noise(8, network.size, seed=1))
                    calibration = images if form.startswith("INT8") else None
                    export_untrained(random_network(network.spec), folder, precision, calibration)
                figures += measure(folder, f"{network}, {form}", form == "FP16", options)
    finish("single file over session, batch 1, one thread", figures, options.json)


def measure(
    folder: Path, name: str, without_goal: bool, options: argparse.Namespace
) -> Iterator[Figure]:
    """Yield the ratio of every path."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    content = nested_model(open_bundle(folder)).SerializeToString()
    file = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    with load(folder, backend="onnxruntime", threads=1) as session:
        image = noise(1, session.manifest.preprocessing.input_size, options.seed)
        for leave_at in session.manifest.exit_names:
            force(session, leave_at)
            thresholds = np.array(list(session.thresholds.values()), np.float32)
            feeds = {"images": image, "thresholds": thresholds}
            labels, _, exits, _ = file.run(None, feeds)
            expected = session.infer(image)
            assert (labels[0], exits[0]) == (expected.labels[0], expected.exits[0])
            pairs = time_pairs(
                lambda feeds=feeds: file.run(None, feeds),  # type: ignore[misc]
                lambda: session.infer(image),
                duration_s=options.duration,
                seed=options.seed,
                settle=True,
            )
            goal = None if without_goal else MAX_RATIO
            ratio = pairs.ratio
            yield Figure(
                f"{name} to {leave_at}", ratio.median, "", goal, note=f"{ratio}; {pairs.note}"
            )


if __name__ == "__main__":
    main()
