"""What each scenario found, after MLPerf inference's rules for the edge.

The rules, in the table of Section 3 of
https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc:

- single stream: the next query, of one sample, as soon as the one before is answered; the 90th
  percentile counts;
- multi stream: the same with queries of eight samples; the 99th percentile counts;
- offline: all samples are there at once; samples per second count;
- server: queries of one sample arrive in a Poisson process, whatever the system does; latency runs
  from when a query was due.

What is taken from them is how queries come and what counts. The numbers of queries that a
submission needs, hundreds of thousands, are not: each figure has its own count and interval.
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
        ratio: the leading percentile over the plain backbone's; None where there were too few.
        times_ms: of each query.
    """

    name: str
    mean_ms: float
    percentiles: tuple[Percentile, ...]
    ratio: float | None
    times_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """Queries one after the other.

    Attributes:
        samples_per_query: 1 in a single stream, 8 in a multi stream.
        leading_percent: the percentile that counts, 90 or 99.
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
        samples: how many were run, all passes together.
        samples_per_s: these over the time that they took.
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
        best_batch_size: the one of the most samples per second.
        best_samples_per_s: there.
        ratio: this over the plain backbone's best; above 1 is faster.
    """

    name: str
    rates: tuple[BatchRate, ...]
    best_batch_size: int
    best_samples_per_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class ServerResult:
    """One candidate under arrivals that do not wait for it.

    Attributes:
        name: of the candidate, for tables.
        completed: queries that were answered before the run was given up.
        backlog: queries that had arrived and were not answered when the last one arrived.
        achieved_qps: answers per second.
        load: offered load, arrivals per second times the mean service time; a queue grows without
            end from 1 on.
        stable: whether the load is below 1 and every query was answered.
        utilization: share of the time in which it was at work.
        service_mean_ms: of a query without waiting.
        mean_ms: completion minus scheduled arrival.
        percentiles: of the same, with intervals by stretches of queries, since queries that wait
            for each other are not independent; without values where the queue was not stable.
        times_ms: of each query in the order of arrival.
        ratio: mean over the plain backbone's at the same arrivals; None where either queue was not
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
        duration_s: within which queries arrive.
        queries: how many arrived.
        results: of each candidate.
    """

    qps: float
    duration_s: float
    queries: int
    results: tuple[ServerResult, ...]


@dataclass(frozen=True, slots=True)
class Scenarios:
    """What was asked for; None what was not.

    Attributes:
        source, samples: the images.
        offline: one per candidate.
    """

    source: str
    samples: int
    single_stream: Stream | None = None
    multi_stream: Stream | None = None
    offline: tuple[OfflineResult, ...] | None = None
    server: Server | None = None
