"""Prometheus metrics at ``/metrics``: requests, batches, and the statistics of the sessions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from edgeexit_runtime.bundle.expected_entry import CONFIDENCE_EDGES
from edgeexit_runtime.field.drift import DOUBT
from edgeexit_runtime.field.statistics import ExitStatistics
from edgeexit_runtime.serving.batching import Batcher

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of a service. Those of images start again with another bundle."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._batcher: Batcher | None = None
        self.requests = Counter(
            "edgeexit_requests",
            "Requests to classify, by HTTP status",
            ["status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "edgeexit_request_seconds",
            "From a request's head to its answer",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "edgeexit_batch_images", "Images answered together", buckets=SIZES, registry=registry
        )
        self.reloads = Counter(
            "edgeexit_reloads", "Reloads of the bundle", ["result"], registry=registry
        )

    def watch(self, batcher: Batcher) -> None:
        """Include a batcher and its sessions."""
        self._batcher = batcher
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's format; waits for batches that are running."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
        """Yield the metrics of the batcher and its sessions."""
        assert self._batcher is not None
        yield GaugeMetricFamily(
            "edgeexit_waiting_images", "Images in the queue", self._batcher.waiting
        )
        images = CounterMetricFamily("edgeexit_images", "Images answered", labels=["exit"])
        cut = CounterMetricFamily("edgeexit_cut_short", "Of these, by a deadline", labels=["exit"])
        confidences = HistogramMetricFamily(
            "edgeexit_confidence", "Confidences of answers, below each edge", labels=["exit"]
        )
        sessions = self._batcher.sessions
        seen = [session.statistics().exits for session in sessions]
        for same in zip(*seen, strict=True):  # an exit in all sessions
            name = [same[0].name]
            images.add_metric(name, sum(exit_.images for exit_ in same))
            cut.add_metric(name, sum(exit_.cut_short for exit_ in same))
            total = sum((exit_.mean_confidence or 0.0) * exit_.images for exit_ in same)
            confidences.add_metric(name, _buckets(same), total)
        yield images
        yield cut
        yield confidences
        if sessions[0].expected is not None:
            # each session has seen its own images: as many tests as sessions, of one expectation
            least = min(one.drift().p_value for one in sessions)
            p_value = min(1.0, len(sessions) * (least - DOUBT) + DOUBT)
            yield GaugeMetricFamily("edgeexit_drift_p_value", "1: images are as expected", p_value)


def _buckets(same: tuple[ExitStatistics, ...]) -> list[tuple[str, float]]:
    """Return the number of confidences below each edge, over all sessions."""
    counts = map(sum, zip(*(exit_.histogram for exit_ in same), strict=True))
    edges = [*map(str, CONFIDENCE_EDGES[1:-1]), "+Inf"]
    return list(zip(edges, accumulate(counts), strict=True))
