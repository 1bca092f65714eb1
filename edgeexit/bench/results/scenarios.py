"""Results of each scenario, after MLPerf inference's rules for the edge.

The rules, in the table of Section 3 of
https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc:

- single stream: a query of one sample is sent as soon as the previous one is answered; the metric
  is the 90th percentile of latency;
- multi stream: the same with queries of eight samples; the metric is the 99th percentile;
- offline: all samples are available at once; the metric is samples per second;
- server: queries of one sample arrive in a Poisson process, independent of the answers; latency
  is measured from the scheduled arrival.

Arrivals and metrics follow these rules. The numbers of queries that a submission needs, hundreds
of thousands, do not: each figure has its own count and interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeexit.statistics import Interval
from edgeexit.statistics.percentiles import Percentile

SINGLE_STREAM, MULTI_STREAM, OFFLINE = "single-stream", "multi-stream", "offline"
SCENARIOS = (SINGLE_STREAM, MULTI_STREAM, OFFLINE)


@dataclass(frozen=True, slots=True)
class StreamResult:
    """One candidate in a stream of queries.

    Attributes:
        name: of the candidate, for tables.
        mean_ms: of a query.
        percentiles: p50, p90 and p99 of the queries.
        ratio: the leading percentile over the plain backbone's; None with too few queries.
        times_ms: of each query.
    """

    name: str
    mean_ms: float
    percentiles: tuple[Percentile, ...]
    ratio: float | None
    times_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """Queries one after another.

    Attributes:
        samples_per_query: 1 in a single stream, 8 in a multi stream.
        leading_percent: the percentile that is the metric, 90 or 99.
        results: of each candidate.
    """

    samples_per_query: int
    leading_percent: float
    results: tuple[StreamResult, ...]


@dataclass(frozen=True, slots=True)
class BatchRate:
    """Throughput at one batch size.

    Attributes:
        batch_size: samples per call.
        samples: number run, over all passes.
        samples_per_s: ``samples`` over their total time.
    """

    batch_size: int
    samples: int
    samples_per_s: float


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """One candidate's throughput.

    Attributes:
        name: of the candidate, for tables.
        rates: by ascending batch size.
        best_batch_size: with the most samples per second.
        best_samples_per_s: at that batch size.
        ratio: ``best_samples_per_s`` over the plain backbone's; above 1 is faster.
    """

    name: str
    rates: tuple[BatchRate, ...]
    best_batch_size: int
    best_samples_per_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class ServerResult:
    """One candidate under arrivals that are independent of its answers.

    Attributes:
        name: of the candidate, for tables.
        completed: queries answered before the run was aborted.
        backlog: queries that had arrived but were unanswered when the last one arrived.
        achieved_qps: answers per second.
        load: offered load, arrivals per second times the mean service time; at 1 or more the
            queue grows without bound.
        stable: whether the load is below 1 and every query was answered.
        utilization: share of the time spent answering.
        service_mean_ms: mean service time of a query, without waiting.
        mean_ms: mean latency, completion minus scheduled arrival.
        percentiles: of the latency, with intervals from blocks of consecutive queries, since
            queries that wait for each other are not independent; without values if the queue was
            not stable.
        times_ms: latency of each query in the order of arrival.
        ratio: mean over the plain backbone's at the same arrivals; None if either queue was not
            stable.
    """

    name: str
    completed: int
    backlog: int
    achieved_qps: float
    load: float
    stable: bool
    utilization: float
    service_mean_ms: float
    mean_ms: float
    percentiles: tuple[Percentile, ...]
    times_ms: tuple[float, ...]
    ratio: Interval | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """Poisson arrivals, the same for every candidate.

    Attributes:
        qps: arrivals per second on average.
        duration_s: time within which queries arrive.
        queries: number of arrivals.
        results: of each candidate.
    """

    qps: float
    duration_s: float
    queries: int
    results: tuple[ServerResult, ...]


@dataclass(frozen=True, slots=True)
class Scenarios:
    """The requested scenarios; None for the others.

    Attributes:
        source, samples: of the images: where they came from, and their number.
        offline: one result per candidate.
    """

    source: str
    samples: int
    single_stream: Stream | None = None
    multi_stream: Stream | None = None
    offline: tuple[OfflineResult, ...] | None = None
    server: Server | None = None
