"""Tables of the scenarios."""

from __future__ import annotations

from collections.abc import Iterator

from edgeexit.bench.render.latencies import interval_cell, percentile_cells, percentile_note
from edgeexit.bench.results.scenarios import OfflineResult, Scenarios, Server, ServerResult, Stream
from edgeexit.formats import Row, Table, format_ms, in_two_lines, named_numbers

NEAR_ITS_LIMIT = 0.9


def scenario_tables(scenarios: Scenarios) -> Iterator[Table]:
    """Yield a table for each scenario that was measured."""
    if scenarios.single_stream is not None:
        yield _stream_table("single stream", scenarios.single_stream)
    if scenarios.multi_stream is not None:
        yield _stream_table("multi stream", scenarios.multi_stream)
    if scenarios.offline is not None:
        yield _offline_table(scenarios.offline)
    if scenarios.server is not None:
        yield _server_table(scenarios.server)


def _stream_table(name: str, stream: Stream) -> Table:
    samples = stream.samples_per_query
    lead = f"p{stream.leading_percent:g}"
    return Table.of(
        f"{name}: queries of {samples} image{'s' * (samples > 1)} one after another; the metric is "
        f"{lead}, ms",
        named_numbers("", "queries", "mean", "p50", "p90", "p99", f"ratio\nof {lead}"),
        (
            (
                result.name,
                str(result.percentiles[0].queries),
                format_ms(result.mean_ms),
                *percentile_cells(result.percentiles),
                "-" if result.ratio is None else f"{result.ratio:.3f}",
            )
            for result in stream.results
        ),
        notes=[
            percentile_note(stream.results[0].percentiles, "queries" if samples > 1 else "images")
        ],
    )


def _offline_table(results: tuple[OfflineResult, ...]) -> Table:
    sizes = sorted({rate.batch_size for result in results for rate in result.rates})
    best: list[Row] = [
        ("best", *(f"{result.best_samples_per_s:.1f}" for result in results)),
        ("ratio", *(f"{result.ratio:.3f}" for result in results)),
    ]
    return Table.of(
        "offline: images per second by batch size",
        named_numbers("batch", *(in_two_lines(result.name) for result in results)),
        ((str(size), *(_rate_cell(result, size) for result in results)) for size in sizes),
        best,
        notes=[
            "* the best batch size. Ratio of the best to the plain backbone's: above 1 is faster"
        ],
    )


def _rate_cell(result: OfflineResult, size: int) -> str:
    """Return a throughput, with a star if it is the best."""
    for rate in result.rates:
        if rate.batch_size == size:
            star = "*" if size == result.best_batch_size else " "
            return f"{rate.samples_per_s:.1f}{star}"
    return "-"


def _server_table(server: Server) -> Table:
    return Table.of(
        f"server: {server.queries} queries in {server.duration_s:g} s, Poisson arrivals of "
        f"{server.qps:g} per second, latency from the scheduled arrival, ms",
        named_numbers("", "answered\nper s", "load,\nqueue", "mean", "ratio", "p50", "p90", "p99"),
        (
            (
                result.name,
                f"{result.achieved_qps:.1f}",
                f"{result.load:.3f}\n{_queue(result)}",
                format_ms(result.mean_ms if result.stable else None),
                interval_cell(result.ratio),
                *percentile_cells(result.percentiles),
            )
            for result in server.results
        ),
        notes=[" ".join(_server_notes(server))],
    )


def _queue(result: ServerResult) -> str:
    if not result.stable:
        return f"grows\n({result.backlog})"
    return "near limit" if result.load >= NEAR_ITS_LIMIT else "stable"


def _server_notes(server: Server) -> Iterator[str]:
    yield "load: arrivals per second times the mean service time; from 1 on the queue only grows."
    if any(not result.stable for result in server.results):
        yield (
            "Latencies of a growing queue depend on how long the run is: they are not shown. In "
            "brackets: queries that waited when the last one arrived."
        )
    stable = [result for result in server.results if result.stable]
    if any(result.load >= NEAR_ITS_LIMIT for result in stable):
        yield "Near the limit, a longer run has longer latencies: give a longer --duration."
    if stable:
        yield (
            "Ratio: mean over the plain backbone's. Intervals resample blocks of queries, since "
            "queries that wait for each other are not independent."
        )
        note = percentile_note(stable[0].percentiles, "images or queries")
        if note:
            yield note
