"""What the session adds to the engines' own calls, at batch 1, as paired ratios in one run.

    python benchmarks/session_overhead.py [--duration 10] [--threads 1] [--bundles FOLDER]

Each pair is one ``session.infer`` and one chain of bare calls of ONNX Runtime by hand: the same
loaded files with the same options, threads and thresholds, in random order. Goals: at most 2 %
more on ResNet-18 4+3+2 at 224x224, at most 15 microseconds per exit passed on ResNet-20 3+1 at
32x32. The weights are random, and the exits forced; branches on the way are run.

There are two bare chains. "run" calls ``InferenceSession.run`` and passes its outputs on, as most
programs do; the goals refer to it. "bound" binds the images, runs prepared bindings, and does
nothing else: it neither checks the images nor creates arrays of answers, which the session does
once per call; it has no goal.

Last, the cost of ``session.statistics()`` per call: the same session with and without its tally,
interleaved. Goal: at most 2 microseconds, on ResNet-20, whose calls are the shortest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from edgeexit_runtime import Session, load
from edgeexit_runtime.bundle.manifest import FINAL, IMAGES, THRESHOLD
from edgeexit_runtime.gate import Predictions
from edgeexit_runtime.timing.paths import LEAVE
from goals import Figure, finish, parser_of
from numpy.typing import NDArray
from pairs import estimate, time_pairs
from random_bundles import Network, bundle_of, force

from edgeexit.planning.candidates import noise

MAX_RATIO = 1.02
MAX_US_PER_EXIT = 15
MAX_COUNTING_US = 2
JUDGED = "run"
_NO_THRESHOLD = np.empty(0, np.float32)

Bare = Callable[[Session, NDArray[np.float32]], Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Judged(Network):
    """A network to measure, and whether its goal is a ratio or microseconds per exit."""

    by_ratio: bool


NETWORKS = (
    Judged("resnet18", "4+3+2", 1000, 224, by_ratio=True),
    Judged("resnet20", "3+1", 10, 32, by_ratio=False),
)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--duration", type=float, default=10, help="seconds per path (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="threads per graph (default 1)")
    options = parser.parse_args()
    figures = [figure for network in NETWORKS for figure in measure(network, options)]
    finish(
        f"session against bare calls, threads per graph: {options.threads}", figures, options.json
    )


def measure(network: Judged, options: argparse.Namespace) -> list[Figure]:
    """Measure a network's paths to the first and the last exit against both bare chains."""
    figures = []
    with (
        bundle_of(network.backbone, network.spec, options.bundles) as folder,
        load(folder, threads=options.threads) as session,
    ):
        image = noise(1, network.size, options.seed)
        for leave_at in (network.spec.exit_names[0], FINAL):
            force(session, leave_at)
            for name, bare in ((JUDGED, bare_chain), ("bound", bound_chain)):
                figures.append(compare(network, session, image, leave_at, name, bare, options))
        if not network.by_ratio:
            force(session, network.spec.exit_names[0])
            figures.append(counting(network, session, image, options))
    return figures


class _Uncounted:
    """A tally that counts nothing."""

    wasted_stages = 0  # only TensorRT counts them

    def add(self, answers: Predictions, took_ns: int) -> None:
        """Do nothing."""


def counting(
    network: Judged, session: Session, image: NDArray[np.float32], options: argparse.Namespace
) -> Figure:
    """Time the session to the first exit with its statistics and without."""
    counted, uncounted = session._tally, _Uncounted()

    def with_tally(tally: Any) -> Callable[[], Predictions]:
        def call() -> Predictions:
            session._tally = tally
            return session.infer(image)

        return call

    pairs = time_pairs(
        with_tally(counted), with_tally(uncounted), duration_s=options.duration, seed=options.seed
    )
    session._tally = counted
    added = estimate((pairs.first_ms - pairs.second_ms) * 1e3)
    note = f"{added.low:.1f} to {added.high:.1f}; ratio {pairs.ratio}, {pairs.note}"
    name = f"{network}, statistics"
    return Figure(name, added.median, "us per call", MAX_COUNTING_US, note=note)


def compare(
    network: Judged,
    session: Session,
    image: NDArray[np.float32],
    leave_at: str,
    reference: str,
    bare: Bare,
    options: argparse.Namespace,
) -> Figure:
    """Time one path against one bare chain."""
    expected = session.infer(image)
    by_hand = bare(session, image)
    assert by_hand() == (expected.labels[0], expected.confidences[0], expected.exits[0])
    pairs = time_pairs(
        lambda: session.infer(image), by_hand, duration_s=options.duration, seed=options.seed
    )
    name = f"{network} to {leave_at}, {reference}"
    judged = reference == JUDGED
    if network.by_ratio:
        interval = f"{pairs.ratio.low:.3f} to {pairs.ratio.high:.3f}"
        goal = MAX_RATIO if judged else None
        note = f"{interval}; session {pairs.note}"
        return Figure(name, pairs.ratio.median, "", goal, note=note)
    passed = session.manifest.exit_names.index(leave_at) + 1
    added = estimate((pairs.first_ms - pairs.second_ms) * 1e3 / passed)
    note = f"{added.low:.1f} to {added.high:.1f}; session {pairs.note}"
    goal = MAX_US_PER_EXIT if judged else None
    return Figure(name, added.median, "us per exit", goal, note=note)


def engines_of(session: Session) -> dict[str, Any]:
    """Return the graphs that the runner has loaded.

    Two copies of a graph lie differently in memory, which alone causes a difference as large as
    the one measured here, so the bare calls have to use these.
    """
    graphs: dict[str, Any] = session.runner._graphs  # type: ignore[attr-defined]
    return graphs


def bare_chain(session: Session, image: NDArray[np.float32]) -> Callable[[], Any]:
    """Return the same chain without the session: each graph run, its outputs passed on by hand."""
    manifest = session.manifest
    graphs = engines_of(session)
    thresholds = {
        name: np.array([value], np.float32)
        for name, value in {**session.thresholds, FINAL: LEAVE}.items()
    }
    exits = {name: index for index, name in enumerate(manifest.exit_names)}
    steps = [
        (
            graphs[name].session,
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


def bound_chain(session: Session, image: NDArray[np.float32]) -> Callable[[], Any]:
    """Return bare runs of the bindings that the session's last call, with ``image``, used."""
    graphs = engines_of(session)
    exits = {name: index for index, name in enumerate(session.manifest.exit_names)}
    steps = []
    for name, _ in session.manifest.graphs():
        if graphs[name].bindings:  # graphs behind the exit were not run
            (bound,) = graphs[name].bindings.values()
            steps.append((graphs[name].session, bound.binding, bound.gate, exits.get(name)))
    first = steps[0][1]

    def call() -> Any:
        first.bind_cpu_input(IMAGES, image)
        for engine, binding, gate, exit_ in steps:
            engine.run_with_iobinding(binding)
            if exit_ is not None and gate.exits[0]:
                return gate.labels[0], gate.confidences[0], exit_
        raise AssertionError("nobody stays at the last exit")

    return call


if __name__ == "__main__":
    main()
