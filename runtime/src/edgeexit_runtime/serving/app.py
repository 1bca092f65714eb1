"""The HTTP endpoints of the service, as a Starlette app.

Request bodies are limited in size, one by one and in total, must arrive in time, and are never
decompressed. Image files in them are read by :mod:`edgeexit_runtime.images.decoding`; no name in a
request is used as a file name.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgeexit_runtime.errors import EdgeExitError, InputError
from edgeexit_runtime.images.fitting import prepare
from edgeexit_runtime.serving.batching import Answer, RefusedError, check_images
from edgeexit_runtime.serving.protocol import (
    HEADER_LENGTH,
    VERSION,
    model_metadata,
    read_request,
    server_metadata,
    write_answer,
)
from edgeexit_runtime.serving.service import Service
from edgeexit_runtime.version import __version__

DECODERS = 2
BODIES = 16
"""Limit on all bodies held at a time, in bodies of the largest size."""
LARGE_BODY = 2**16
PATHS = "POST /predict with an image file, POST /v2/models/NAME/infer, GET /v2 and GET /metrics"

ERRORS = (HTTPException, EdgeExitError)
"""Errors that are answers; all others are bugs."""

Handler = Callable[[Request], Awaitable[Response]]


def make_app(service: Service) -> Starlette:
    """Return the app."""
    paths = _Paths(service)
    routes = [
        Route("/v2", paths.server),
        Route("/v2/health/live", paths.live),
        Route("/v2/health/ready", paths.ready),
        Route("/predict", paths.counted(paths.predict), methods=["POST"]),
        Route("/metrics", paths.metrics),
    ]
    for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [
            Route(prefix, paths.model),
            Route(f"{prefix}/ready", paths.model_ready),
            Route(f"{prefix}/infer", paths.counted(paths.infer), methods=["POST"]),
        ]
    return Starlette(routes=routes, exception_handlers=dict.fromkeys(ERRORS, _failed))


class _Paths:
    """The handlers of the endpoints."""

    def __init__(self, service: Service) -> None:
        self._service, self._options = service, service.options
        self._decoders = asyncio.Semaphore(DECODERS)
        self._held = 0  # bytes of all bodies, complete or not

    async def server(self, _: Request) -> Response:
        return JSONResponse(server_metadata(__version__))

    async def live(self, _: Request) -> Response:
        return Response()

    async def ready(self, _: Request) -> Response:
        return Response(status_code=503 if self._service.batcher.has_lost_device else 200)

    async def model(self, request: Request) -> Response:
        self._check_model(request)
        return JSONResponse(model_metadata(self._options.name, self._service.batcher.manifest))

    async def model_ready(self, request: Request) -> Response:
        self._check_model(request)
        return await self.ready(request)

    async def metrics(self, _: Request) -> Response:
        text = await run_in_threadpool(self._service.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4")

    async def infer(self, request: Request) -> Response:
        self._check_model(request)
        async with self._body(request) as body:
            length = request.headers.get(HEADER_LENGTH)
            if len(body) < LARGE_BODY:
                asked = read_request(body, length)
            else:  # in a thread, or other requests would wait
                asked = await run_in_threadpool(read_request, body, length)
            answer = await self._classify(asked.images)
        content, headers = write_answer(self._options.name, asked, answer.predictions)
        return Response(content, headers=headers)

    async def predict(self, request: Request) -> Response:
        if not request.headers.get("content-type", "").lower().startswith("image/"):
            raise HTTPException(
                415,
                "expected Content-Type: image/jpeg, image/png or the like, and the file as body: "
                "curl --data-binary @FILE -H 'Content-Type: image/jpeg'",
            )
        async with self._body(request) as body:
            answer = await self._classify_file(body)
        manifest, predictions = answer.manifest, answer.predictions
        return JSONResponse(
            {
                "label": manifest.class_names[predictions.labels[0]],
                "confidence": round(float(predictions.confidences[0]), 4),
                "exit": manifest.exit_names[predictions.exits[0]],
            }
        )

    def counted(self, handler: Handler) -> Handler:
        """Return a handler whose answers are counted and timed."""
        metrics = self._service.metrics

        async def counting(request: Request) -> Response:
            start = time.perf_counter()
            try:
                response = await handler(request)
            except ERRORS as error:
                response = await _failed(request, error)
            metrics.requests.labels(response.status_code).inc()
            metrics.seconds.observe(time.perf_counter() - start)
            return response

        return counting

    async def _classify_file(self, body: bytes) -> Answer:
        while True:
            preprocessing = self._service.batcher.manifest.preprocessing
            async with self._decoders:
                images = await run_in_threadpool(
                    prepare, [io.BytesIO(body)], preprocessing, self._options.max_pixels
                )
            try:
                answer = await self._classify(images)
            except InputError:
                if self._service.batcher.manifest.preprocessing == preprocessing:
                    raise
            else:
                if answer.manifest.preprocessing == preprocessing:  # else the bundle was replaced
                    return answer

    async def _classify(self, images: NDArray[np.float32]) -> Answer:
        check_images(images, self._service.batcher.manifest.preprocessing.input_size)
        return await asyncio.wrap_future(self._service.batcher.submit(images))

    def _check_model(self, request: Request) -> None:
        name, wanted = request.path_params["name"], request.path_params.get("version", VERSION)
        if (name, wanted) != (self._options.name, VERSION):
            raise HTTPException(404, f"expected model {self._options.name!r}, version {VERSION}")

    @asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """Yield a body, which counts as held until the end of the block."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "expected a body that is not compressed")
        body = bytearray()
        try:
            try:
                await asyncio.wait_for(self._read(request, body), self._options.timeout_s)
            except (asyncio.TimeoutError, ClientDisconnect) as error:
                message = f"no complete body within {self._options.timeout_s:g} s"
                raise HTTPException(408, message) from error
            yield bytes(body)
        finally:
            self._held -= len(body)

    async def _read(self, request: Request, body: bytearray) -> None:
        most = self._options.max_bytes
        announced = int(request.headers.get("content-length", "0"))
        async for chunk in request.stream():
            body.extend(chunk)
            self._held += len(chunk)
            if max(len(body), announced) > most:  # before the rest is read
                raise HTTPException(413, f"expected at most {most} bytes (--max-bytes)")
            if self._held > BODIES * most:
                raise HTTPException(503, "too many bodies are being received", {"Retry-After": "1"})


async def _failed(_: Request, error: Exception) -> Response:
    """Return an error's response: 400 for bad input, 429 or 503 for a refusal, 500 for the rest."""
    message, headers = str(error), None
    if isinstance(error, HTTPException):
        message, status, headers = error.detail, error.status_code, error.headers
        if status in (404, 405):
            message = f"{message}; there are {PATHS}"
    elif isinstance(error, RefusedError):
        status, headers = (503 if error.is_stopping else 429), {"Retry-After": "1"}
    else:
        status = 400 if isinstance(error, InputError) else 500
    return JSONResponse({"error": message}, status, headers)
