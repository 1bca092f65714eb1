"""A small HTTP service: POST an image to /predict, get its label as JSON.

    python examples/http_service.py out/ --deadline-ms 50
    curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/predict

It refuses at once what it cannot take: 400 no readable image, 408 sent too slowly, 413 too large,
415 another content type, 503 too many requests. Ctrl-C and SIGTERM let running requests finish.
It has neither encryption nor passwords: keep it on 127.0.0.1, behind a server that has them.

Needs: pip install './runtime[cpu,images]' starlette uvicorn
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import edgeexit_runtime as ee
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

BODY_TIMEOUT_S = 10


def make_app(session: ee.Session, deadline_ms: float | None, queue: int, limit: int) -> Starlette:
    """Return the service; it closes the session when it stops."""
    waiting = 0  # requests that were let in and have no answer yet

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with session:
            session.warm_up()
            yield

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "device": session.device, "waiting": waiting})

    async def predict(request: Request) -> JSONResponse:
        nonlocal waiting
        if not request.headers.get("content-type", "").startswith("image/"):
            raise HTTPException(415, "expected Content-Type: image/jpeg, image/png or the like")
        if waiting >= queue:
            raise HTTPException(503, f"{waiting} requests are waiting", {"Retry-After": "1"})
        waiting += 1
        try:
            body = await asyncio.wait_for(read_body(request, limit), BODY_TIMEOUT_S)
            return JSONResponse(await run_in_threadpool(classify, session, body, deadline_ms))
        except (asyncio.TimeoutError, ClientDisconnect) as error:
            raise HTTPException(408, f"no image within {BODY_TIMEOUT_S} s") from error
        except ee.ImageError as error:
            raise HTTPException(400, str(error)) from error
        finally:
            waiting -= 1

    routes = [Route("/predict", predict, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


async def read_body(request: Request, limit: int) -> bytes:
    body, announced = b"", int(request.headers.get("content-length", "0"))
    async for chunk in request.stream():
        body += chunk
        if max(len(body), announced) > limit:  # before the rest is read
            raise HTTPException(413, f"an image may have {limit} bytes")
    return body


def classify(session: ee.Session, body: bytes, deadline_ms: float | None) -> dict[str, Any]:
    result = session.infer(session.prepare([io.BytesIO(body)]), deadline_ms=deadline_ms)
    return {
        "label": session.manifest.class_names[result.labels[0]],
        "confidence": round(float(result.confidences[0]), 4),
        "exit": session.manifest.exit_names[result.exits[0]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify images over HTTP.")
    parser.add_argument("bundle", help="the folder that 'edgeexit export' wrote")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--deadline-ms", type=float, help="from a decoded image to its answer")
    parser.add_argument("--queue", type=int, default=16, help="requests at once (default 16)")
    parser.add_argument("--max-bytes", type=int, default=10_000_000, help="of an image")
    options = parser.parse_args()
    app = make_app(ee.load(options.bundle), options.deadline_ms, options.queue, options.max_bytes)
    uvicorn.run(app, host="127.0.0.1", port=options.port, timeout_graceful_shutdown=30)


if __name__ == "__main__":
    main()
