"""A small HTTP service: POST an image to /predict, get its label as JSON.

    python examples/http_service.py out/ --deadline-ms 50
    curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict

It refuses at once what it cannot take: 400 no readable image, 408 sent too slowly, 413 too large,
415 another content type, 503 too many requests. Ctrl-C and SIGTERM let running requests finish.
Images that are being sent take --queue times --max-bytes of memory at most, and the DECODERS that
are decoded at once 4 to 16 bytes for each of --max-pixels.
It has neither encryption nor passwords: keep it on 127.0.0.1, behind a server that has them.

GET /metrics gives Prometheus how many images left at each exit, how sure, how fast, and whether
they are still like those that the bundle was measured on: alert on edgeexit_drift_p_value < 0.01.

Needs: pip install './runtime[cpu,images]' starlette uvicorn prometheus-client
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterator
from itertools import accumulate
from typing import Any

import edgeexit_runtime as ee
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, core, generate_latest
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_TIMEOUT_S, BODY_TIMEOUT_S = 5, 10
DECODERS = 2


def make_app(session: ee.Session, options: argparse.Namespace) -> Starlette:
    """Return the service; it closes the session when it stops."""
    waiting = 0  # requests whose image is here and that have no answer yet
    held = 0  # bytes of all images, whole or not
    decoders = asyncio.Semaphore(DECODERS)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with session:
            session.warm_up()
            yield

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "device": session.device, "waiting": waiting})

    async def predict(request: Request) -> JSONResponse:
        nonlocal waiting, held
        if not request.headers.get("content-type", "").lower().startswith("image/"):
            raise HTTPException(415, "expected Content-Type: image/jpeg, image/png or the like")
        body = bytearray()
        try:
            await asyncio.wait_for(read(request, body), BODY_TIMEOUT_S)
            if waiting >= options.queue:
                raise HTTPException(503, f"{waiting} requests are waiting", {"Retry-After": "1"})
            waiting += 1
            try:
                async with decoders:
                    result = await run_in_threadpool(classify, session, bytes(body), options)
            finally:
                waiting -= 1
            return JSONResponse(result)
        except (asyncio.TimeoutError, ClientDisconnect) as error:
            raise HTTPException(408, f"no image within {BODY_TIMEOUT_S} s") from error
        except ee.ImageError as error:
            raise HTTPException(400, str(error)) from error
        finally:
            held -= len(body)

    async def read(request: Request, body: bytearray) -> None:
        nonlocal held
        announced = int(request.headers.get("content-length", "0"))
        async for chunk in request.stream():
            body.extend(chunk)
            held += len(chunk)
            if max(len(body), announced) > options.max_bytes:  # before the rest is read
                raise HTTPException(413, f"an image may have {options.max_bytes} bytes")
            if held > options.queue * options.max_bytes:
                raise HTTPException(503, "other images are on their way", {"Retry-After": "1"})

    registry = CollectorRegistry()
    registry.register(Seen(session))

    async def metrics(_: Request) -> Response:
        text = await run_in_threadpool(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/health", health),
        Route("/metrics", metrics),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class Seen(Collector):  # type: ignore[misc]  # prometheus_client may not be installed
    """What the session has answered, in Prometheus' terms."""

    def __init__(self, session: ee.Session) -> None:
        self.session = session

    def describe(self) -> list[core.Metric]:
        return []  # nothing is asked of the session before somebody reads

    def collect(self) -> Iterator[core.Metric]:
        seen = self.session.statistics()
        images = core.CounterMetricFamily("edgeexit_images", "answered", labels=["exit"])
        cut = core.CounterMetricFamily("edgeexit_cut_short", "by a deadline", labels=["exit"])
        sure = core.HistogramMetricFamily("edgeexit_confidence", "of answers", labels=["exit"])
        for exit_ in seen.exits:
            images.add_metric([exit_.name], exit_.images)
            cut.add_metric([exit_.name], exit_.cut_short)
            edges = [*map(str, ee.CONFIDENCE_EDGES[1:-1]), "+Inf"]
            buckets = list(zip(edges, accumulate(exit_.histogram), strict=True))
            total = (exit_.mean_confidence or 0.0) * exit_.images
            sure.add_metric([exit_.name], buckets, total)
        yield from (images, cut, sure)
        if seen.latency is not None:
            took = core.GaugeMetricFamily(
                "edgeexit_latency_seconds", "of calls", labels=["quantile"]
            )
            for quantile in (50, 90, 99):
                ms = getattr(seen.latency, f"p{quantile}_ms")
                took.add_metric([str(quantile / 100)], ms / 1e3)
            yield took
        if self.session.expected is not None:
            p_value = self.session.drift().p_value
            yield core.GaugeMetricFamily("edgeexit_drift_p_value", "1: as expected", p_value)


def classify(session: ee.Session, body: bytes, options: argparse.Namespace) -> dict[str, Any]:
    images = session.prepare([io.BytesIO(body)], max_pixels=options.max_pixels)
    result = session.infer(images, deadline_ms=options.deadline_ms)
    return {
        "label": session.manifest.class_names[result.labels[0]],
        "confidence": round(float(result.confidences[0]), 4),
        "exit": session.manifest.exit_names[result.exits[0]],
    }


class Connection(H11Protocol):  # type: ignore[misc]  # uvicorn may not be installed
    """uvicorn's, which waits for ever for the end of a request's headers."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.loop.call_later(HEADER_TIMEOUT_S, self.look, None)

    def look(self, last_request: object) -> None:
        """Close where no request came since the last look, and none is being answered."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is last_request:
            self.transport.close()
        elif not self.transport.is_closing():
            self.loop.call_later(HEADER_TIMEOUT_S, self.look, self.cycle)


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Classify images over HTTP.")
    parser.add_argument("bundle", help="the folder that 'edgeexit export' wrote")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--deadline-ms", type=float, help="from a decoded image to its answer")
    parser.add_argument("--queue", type=int, default=16, help="requests at once (default 16)")
    parser.add_argument("--max-bytes", type=int, default=10_000_000, help="of an image")
    parser.add_argument("--max-pixels", type=int, default=25_000_000, help="of an image")
    return parser.parse_args(arguments)


def main() -> None:
    options = read_options()
    app = make_app(ee.load(options.bundle), options)
    uvicorn.run(
        app, host="127.0.0.1", port=options.port, http=Connection, timeout_graceful_shutdown=30
    )


if __name__ == "__main__":
    main()
