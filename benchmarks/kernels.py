"""Time of a bundle's graphs by operator, from ONNX Runtime's own profile."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from edgeexit_runtime import load_manifest
from edgeexit_runtime.bundle.manifest import IMAGES, THRESHOLD
from goals import Figure

RUNS = 10
CONVOLUTIONS = ("Conv", "FusedConv", "NhwcFusedConv")


def convolution_share(folder: Path, batch: int) -> Figure:
    """Return the share of convolutions in the kernels' time of a chain over a batch."""
    manifest = load_manifest(folder)
    size = manifest.preprocessing.input_size
    tensors: dict[str, Any] = {
        IMAGES: np.random.default_rng(0).standard_normal((batch, *size), np.float32),
        THRESHOLD: np.array([2], np.float32),
    }
    total: Counter[str] = Counter()
    for name, entry in manifest.graphs():
        spent, outputs = profile(folder / entry.file, tensors)
        total += spent
        if name not in manifest.exit_names:
            tensors.update(outputs)
    whole = sum(total.values())
    share = sum(total[kind] for kind in CONVOLUTIONS) / whole
    rest = [(kind, us) for kind, us in total.most_common(6) if kind not in CONVOLUTIONS]
    note = ", ".join(f"{kind} {us / whole:.1%}" for kind, us in rest)
    return Figure(f"convolutions' share, batch {batch}", share, "of kernel time", note=note)


def profile(file: Path, tensors: dict[str, Any]) -> tuple[Counter[str], dict[str, Any]]:
    """Run a graph with one thread; return its kernels' microseconds by operator, and outputs."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        feed = {tensor.name: tensors[tensor.name] for tensor in session.get_inputs()}
        for _ in range(RUNS):
            outputs = session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    names = [tensor.name for tensor in session.get_outputs()]
    return kernel_us(events), dict(zip(names, outputs, strict=True))


def kernel_us(events: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return microseconds by operator from the events of a profile."""
    spent: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
    return spent
