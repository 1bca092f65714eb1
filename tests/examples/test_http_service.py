"""The HTTP service: what it answers, what it refuses, and that it stops well."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import edgeexit_runtime as ee
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PNG = {"content-type": "image/png"}


@pytest.fixture
def service(examples: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("http_service", examples / "http_service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def session(bundle: Path) -> Iterator[ee.Session]:
    with ee.load(bundle, threads=1) as session:
        yield session


async def ask(
    app: Any,
    path: str = "/predict",
    method: str = "POST",
    headers: dict[str, str] = PNG,
    chunks: tuple[bytes, ...] = (b"",),
    pause: float = 0,
    receive: Any = None,
) -> tuple[int, str]:
    """Send one request straight to the app; return status and text."""
    left = list(chunks)
    sent: list[dict[str, Any]] = []

    async def receive_chunk() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive or receive_chunk, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body.decode()


def test_an_image_is_classified(service: ModuleType, session: ee.Session, photos: Path) -> None:
    app = service.make_app(session, None, queue=4, limit=10_000)
    image = (photos / "a.png").read_bytes()
    status, text = asyncio.run(ask(app, chunks=(image[:50], image[50:])))
    assert status == 200
    answer = json.loads(text)
    assert (answer["label"], answer["exit"]) == ("3", "exit1")
    assert 0.5 < answer["confidence"] < 0.9


def test_a_deadline_holds(service: ModuleType, session: ee.Session, photos: Path) -> None:
    app = service.make_app(session, 1e-6, queue=4, limit=10_000)
    image = (photos / "deeper" / "b.png").read_bytes()
    asyncio.run(ask(app, chunks=(image,)))
    _, text = asyncio.run(ask(app, chunks=(image,)))
    assert json.loads(text)["exit"] == "exit1"


def test_health(service: ModuleType, session: ee.Session) -> None:
    app = service.make_app(session, None, queue=4, limit=10_000)
    status, text = asyncio.run(ask(app, "/health", "GET", {}))
    assert (status, json.loads(text)) == (
        200,
        {"status": "ok", "device": "CPUExecutionProvider", "waiting": 0},
    )


@pytest.mark.parametrize(
    ("headers", "chunks", "status", "text"),
    [
        ({}, (b"",), 415, "expected Content-Type: image/jpeg, image/png or the like"),
        ({"content-type": "text/plain"}, (b"",), 415, "expected Content-Type: image/jpeg"),
        ({**PNG, "content-length": "101"}, (b"",), 413, "an image may have 100 bytes"),
        (PNG, (b"x" * 60, b"x" * 41), 413, "an image may have 100 bytes"),
        (PNG, (b"x" * 100,), 400, "the image: not a readable image (UnidentifiedImageError)"),
        (PNG, (b"",), 400, "the image: not a readable image (UnidentifiedImageError)"),
    ],
)
def test_what_is_refused(
    service: ModuleType,
    session: ee.Session,
    headers: dict[str, str],
    chunks: tuple[bytes, ...],
    status: int,
    text: str,
) -> None:
    app = service.make_app(session, None, queue=4, limit=100)
    got, message = asyncio.run(ask(app, headers=headers, chunks=chunks))
    assert got == status
    assert message.startswith(text)


def test_an_image_that_would_fill_the_memory_is_refused(
    service: ModuleType, session: ee.Session
) -> None:
    app = service.make_app(session, None, queue=4, limit=10_000)
    status, text = asyncio.run(ask(app, chunks=(b"P5 50000 50000 255\n",)))
    assert (status, text.partition(";")[0]) == (
        400,
        "the image: 50000x50000 are 2500.0 million pixels, more than 128 million",
    )


def test_other_paths_and_methods(service: ModuleType, session: ee.Session) -> None:
    app = service.make_app(session, None, queue=4, limit=100)
    assert asyncio.run(ask(app, "/", "GET", {}))[0] == 404
    assert asyncio.run(ask(app, "/predict", "GET", {}))[0] == 405


def test_who_sends_too_slowly_is_let_go(
    service: ModuleType, session: ee.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BODY_TIMEOUT_S", 0.05)
    app = service.make_app(session, None, queue=1, limit=100)

    async def twice() -> list[tuple[int, str]]:
        return [await ask(app, pause=5), await ask(app, chunks=(b"x",))]

    slow, after = asyncio.run(twice())
    assert slow == (408, "no image within 0.05 s")
    assert after[0] == 400  # its place is free again


def test_who_hangs_up_leaves_no_traceback(service: ModuleType, session: ee.Session) -> None:
    app = service.make_app(session, None, queue=1, limit=100)

    async def hang_up() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert asyncio.run(ask(app, receive=hang_up))[0] == 408


def test_more_than_the_queue_holds_are_refused(
    service: ModuleType, session: ee.Session, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    prepare = session.prepare

    def held(images: Any) -> Any:
        assert go_on.wait(10)
        return prepare(images)

    monkeypatch.setattr(session, "prepare", held)
    app = service.make_app(session, None, queue=2, limit=10_000)
    image = ((photos / "a.png").read_bytes(),)

    async def crowd() -> list[tuple[int, str]]:
        first = [asyncio.ensure_future(ask(app, chunks=image)) for _ in range(2)]
        await asyncio.sleep(0.1)
        late = await ask(app, chunks=image)
        health = await ask(app, "/health", "GET", {})
        go_on.set()
        return [late, health, *await asyncio.gather(*first), await ask(app, chunks=image)]

    late, health, *others = asyncio.run(crowd())
    assert late == (503, "2 requests are waiting")
    assert json.loads(health[1])["waiting"] == 2
    assert [status for status, _ in others] == [200, 200, 200]


def test_it_serves_and_stops(examples: Path, bundle: Path, photos: Path) -> None:
    """As a process of its own, on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, examples / "http_service.py", bundle, "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        status, text = _request(port, "GET", "/health")
        assert (status, json.loads(text)["status"]) == (200, "ok")
        image = (photos / "deeper" / "b.png").read_bytes()
        status, text = _request(port, "POST", "/predict", image, PNG)
        assert (status, json.loads(text)["label"]) == (200, "4")
        assert _request(port, "POST", "/predict", b"x", PNG)[0] == 400
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert "Application shutdown complete" in log
    assert "Traceback" not in log


def _request(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Ask once the service listens, for half a minute at most."""
    end = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        finally:
            connection.close()
