"""What the session adds to OpenVINO's bound calls, at batch 1, as paired differences in one run.

    python benchmarks/openvino_overhead.py [--duration 10] [--threads 1] [--bundles FOLDER]

Each pair is one ``session.infer`` and one chain by hand, in random order: the image is copied to
the input of the first request, then each request that the session has bound is run by a bare
``request.infer()``. Goal: at most 25 microseconds per part that is run. The weights are random, and
the exits forced.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from edgeexit_runtime import Session, load
from edgeexit_runtime.bundle.manifest import FINAL, IMAGES
from goals import Figure, finish, parser_of
from numpy.typing import NDArray
from pairs import estimate, time_pairs
from random_bundles import Network, bundle_of, force
from session_overhead import NETWORKS

from edgeexit.planning.candidates import noise

MAX_US_PER_PART = 25


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--duration", type=float, default=10, help="seconds per path (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="threads per graph (default 1)")
    options = parser.parse_args()
    figures = [figure for network in NETWORKS for figure in measure(network, options)]
    title = f"session against OpenVINO's bound calls, threads per graph: {options.threads}"
    finish(title, figures, options.json)


def measure(network: Network, options: argparse.Namespace) -> list[Figure]:
    """Measure a network's paths to the first and the last exit."""
    figures = []
    with (
        bundle_of(network.backbone, network.spec, options.bundles) as folder,
        load(folder, backend="openvino", threads=options.threads) as session,
    ):
        image = noise(1, network.size, options.seed)
        for leave_at in (network.spec.exit_names[0], FINAL):
            force(session, leave_at)
            bare, parts = bare_chain(session, image, leave_at)
            pairs = time_pairs(
                lambda: session.infer(image), bare, duration_s=options.duration, seed=options.seed
            )
            added = estimate((pairs.first_ms - pairs.second_ms) * 1e3 / parts)
            figures.append(
                Figure(
                    f"{network} to {leave_at}",
                    added.median,
                    "us per part",
                    MAX_US_PER_PART,
                    note=f"{added.low:.1f} to {added.high:.1f}; session {pairs.note}",
                )
            )
    return figures


def bare_chain(
    session: Session, image: NDArray[np.float32], leave_at: str
) -> tuple[Callable[[], Any], int]:
    """Return a call of the requests that run for ``image``, and their number."""
    expected = session.infer(image)
    parts: dict[str, Any] = session.runner._parts  # type: ignore[attr-defined]
    names = [name for name, _ in session.manifest.graphs()]
    on_path = names[: names.index(leave_at) + 1]
    calls = [parts[name].bound[1].infer for name in on_path]
    gate = parts[leave_at].bound[1].gate
    place = parts[names[0]].arrays[IMAGES][:1]

    def call() -> Any:
        np.copyto(place, image)
        for infer in calls:
            infer()
        return gate.labels[0], gate.confidences[0]

    assert call() == (expected.labels[0], expected.confidences[0])
    return call, len(calls)


if __name__ == "__main__":
    main()
