"""What the session adds to the engines' own calls, at batch 1, as paired ratios in one run.

    python benchmarks/session_overhead.py [--duration 20] [--threads 1] [--bundles FOLDER]

Each pair is one ``session.infer`` and one chain of bare ``InferenceSession.run`` calls by hand: the
same loaded files with the same options, threads and thresholds, in random order. Goals: at most
3 % more on ResNet-18 4+3+2 at 224x224, at most 30 microseconds per exit passed on ResNet-20 3+1 at
32x32. The weights are random, and the exits forced.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from edgeexit_runtime import NEVER, Preprocessing, Session, load
from edgeexit_runtime.manifest import FINAL, IMAGES, THRESHOLD
from edgeexit_runtime.timing import time_call
from numpy.typing import NDArray

from edgeexit.bench.device import cores_available, cpu_model
from edgeexit.data import DataConfig
from edgeexit.export import PRECISIONS, ExportOptions, export_bundle
from edgeexit.models import MultiExitNet, make_spec
from edgeexit.training import Checkpoint

MAX_RATIO = 1.03
MAX_US_PER_EXIT = 30
MIN_PAIRS = 50
LEAVE = 0.0  # no softmax value is below it
_NO_THRESHOLD = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Network:
    """What is measured, and by which of the two goals it is judged."""

    backbone: str
    branches: str
    num_classes: int
    pixels: int
    goal: str  # "ratio" or "per exit"


NETWORKS = (
    Network("resnet18", "4+3+2", 1000, 224, "ratio"),
    Network("resnet20", "3+1", 10, 32, "per exit"),
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median and its 95 % confidence interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=20, help="seconds per path (default 20)")
    parser.add_argument("--threads", type=int, default=1, help="threads per graph (default 1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundles", type=Path, help="keep the bundles here between runs")
    options = parser.parse_args()

    print(f"{cpu_model()}, {cores_available()} cores, threads per graph: {options.threads}")
    print(f"{'network':21} {'path':6} {'session ms':>10} {'bare ms':>8} {'pairs':>6}", end="  ")
    print(f"{'ratio (95 % interval)':24} {'added per exit, us':28} goal")
    missed = sum(measure(network, options) for network in NETWORKS)
    print("every goal holds" if missed == 0 else f"{missed} goals MISSED")


def measure(network: Network, options: argparse.Namespace) -> int:
    """Measure one network's paths, print a line for each, and return how many miss the goal."""
    missed = 0
    with bundle_of(network, options.bundles) as folder, load(folder, threads=options.threads) as it:
        image = np.random.default_rng(0).standard_normal((1, *it.manifest.preprocessing.input_size))
        for leave_at in (it.manifest.exit_names[0], FINAL):
            force(it, leave_at)
            session_ms, bare_ms = time_pairs(it, image.astype(np.float32), options)
            missed += not print_path(network, it, leave_at, session_ms, bare_ms)
    return missed


def print_path(
    network: Network,
    session: Session,
    leave_at: str,
    session_ms: NDArray[np.float64],
    bare_ms: NDArray[np.float64],
) -> bool:
    passed = session.manifest.exit_names.index(leave_at) + 1
    ratio = estimate(session_ms / bare_ms)
    added = estimate((session_ms - bare_ms) * 1e3 / passed)
    by_ratio = network.goal == "ratio"
    kept = ratio.median <= MAX_RATIO if by_ratio else added.median <= MAX_US_PER_EXIT
    goal = f"ratio <= {MAX_RATIO}" if by_ratio else f"<= {MAX_US_PER_EXIT} us"
    name = f"{network.backbone} {network.branches} @{network.pixels}"
    times = f"{np.median(session_ms):10.3f} {np.median(bare_ms):8.3f} {len(bare_ms):6}"
    microseconds = f"{added.median:.1f} ({added.low:.1f} to {added.high:.1f})"
    verdict = "holds" if kept else "MISSED"
    print(f"{name:21} {leave_at:6} {times}  {ratio!s:24} {microseconds:28} {goal}: {verdict}")
    return kept


def force(session: Session, leave_at: str) -> None:
    """Make everyone leave at one exit, by thresholds."""
    session.thresholds = {
        name: LEAVE if name == leave_at else NEVER for name in session.manifest.exit_names[:-1]
    }


def time_pairs(
    session: Session, image: NDArray[np.float32], options: argparse.Namespace
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the milliseconds of the session and of the bare calls, (pairs,) each."""
    bare = bare_chain(session, image)
    expected = session.infer(image)
    assert bare() == (expected.labels[0], expected.confidences[0], expected.exits[0])
    calls = (lambda: session.infer(image), bare)
    wait = session.runner.synchronize
    rng = np.random.default_rng(options.seed)
    for _ in range(10):  # warm-up
        calls[0](), calls[1]()
    pairs: list[list[float]] = []
    start = time.perf_counter()
    while len(pairs) < MIN_PAIRS or time.perf_counter() - start < options.duration:
        pair = [0.0, 0.0]
        for which in rng.permutation(2):
            pair[which], _ = time_call(calls[which], wait)
        pairs.append(pair)
    session_ms, bare_ms = np.array(pairs).T
    return session_ms, bare_ms


def bare_chain(session: Session, image: NDArray[np.float32]) -> Callable[[], Any]:
    """Return the same chain without the session: each graph run, its outputs fed on by hand.

    It runs the very sessions of ONNX Runtime that the runner has loaded: two copies of a graph
    lie differently in memory, which alone makes a difference of the size that is looked for.
    """
    manifest = session.manifest
    engines = {name: graph.session for name, graph in session.runner._graphs.items()}  # type: ignore[attr-defined]
    thresholds = {
        name: np.array([value], np.float32)
        for name, value in {**session.thresholds, FINAL: LEAVE}.items()
    }
    exits = {name: index for index, name in enumerate(manifest.exit_names)}
    steps = [
        (
            engines[name],
            [tensor.name for tensor in graph.inputs],
            [tensor.name for tensor in graph.outputs],
            exits.get(name),
            thresholds.get(name, _NO_THRESHOLD),
        )
        for name, graph in manifest.graphs()
    ]

    def call() -> Any:
        tensors: dict[str, NDArray[Any]] = {IMAGES: image}
        for engine, inputs, outputs, exit_, threshold in steps:
            feed = {name: tensors[name] for name in inputs}
            if exit_ is None:
                tensors.update(zip(outputs, engine.run(None, feed), strict=True))
                continue
            feed[THRESHOLD] = threshold
            _, confidence, label, leaves = engine.run(None, feed)
            if leaves[0]:
                return label[0], confidence[0], exit_
        raise AssertionError("nobody stays at the last exit")

    return call


def estimate(samples: NDArray[np.float64]) -> Estimate:
    """Return the median and, from the order statistics, its interval for any distribution."""
    ordered = np.sort(samples)
    count = len(ordered)
    half = 0.98 * math.sqrt(count)  # 1.96 standard deviations of a binomial of one half
    low, high = math.floor(count / 2 - half), math.ceil(count / 2 + half)
    return Estimate(
        float(np.median(ordered)),
        float(ordered[max(low, 0)]),
        float(ordered[min(high, count - 1)]),
    )


@contextlib.contextmanager
def bundle_of(network: Network, bundles: Path | None) -> Iterator[Path]:
    """Give a bundle of the network with random weights, exported unless it is there already."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (bundles or Path(temporary)) / network.backbone
        if not folder.exists():
            export(network, folder)
        yield folder


def export(network: Network, folder: Path) -> None:
    torch.manual_seed(0)
    size = (3, network.pixels, network.pixels)
    spec = make_spec(network.backbone, network.branches, network.num_classes, size)
    checkpoint = Checkpoint(
        spec=spec,
        weights=MultiExitNet(spec).state_dict(),
        preprocessing=Preprocessing(size, (0.5,) * 3, (0.25,) * 3),
        class_names=tuple(map(str, range(network.num_classes))),
        thresholds=dict.fromkeys(spec.exit_names[:-1], 0.5),
        data=DataConfig("none"),
        training={},
        metrics={},
    )
    samples = np.random.default_rng(0).standard_normal((2, *size)).astype(np.float32)
    export_bundle(checkpoint, folder, ExportOptions(PRECISIONS["fp32"]), samples, "noise")


if __name__ == "__main__":
    main()
