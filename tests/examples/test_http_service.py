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
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.testing import edit_manifest

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")
parser = pytest.importorskip("prometheus_client.parser")

PNG = {"content-type": "image/png"}
MakeApp = Callable[..., Any]


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


@pytest.fixture
def make_app(service: ModuleType, session: ee.Session) -> MakeApp:
    """``make_app("--queue", 2)``: the service with these options."""

    def make(*options: Any) -> Any:
        return service.make_app(session, service.read_options(["bundle", *map(str, options)]))

    return make


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


def test_an_image_is_classified(make_app: MakeApp, photos: Path) -> None:
    app = make_app()
    image = (photos / "a.png").read_bytes()
    status, text = asyncio.run(ask(app, chunks=(image[:50], image[50:])))
    assert status == 200
    answer = json.loads(text)
    assert (answer["label"], answer["exit"]) == ("3", "exit1")
    assert 0.5 < answer["confidence"] < 0.9


def test_a_deadline_holds(make_app: MakeApp, photos: Path) -> None:
    app = make_app("--deadline-ms", 1e-6)
    image = (photos / "deeper" / "b.png").read_bytes()
    asyncio.run(ask(app, chunks=(image,)))
    _, text = asyncio.run(ask(app, chunks=(image,)))
    assert json.loads(text)["exit"] == "exit1"


def test_health(make_app: MakeApp) -> None:
    app = make_app()
    status, text = asyncio.run(ask(app, "/health", "GET", {}))
    assert (status, json.loads(text)) == (
        200,
        {"status": "ok", "device": "CPUExecutionProvider", "waiting": 0},
    )


def test_metrics_are_what_the_session_has_counted(
    make_app: MakeApp, session: ee.Session, photos: Path
) -> None:
    app = make_app()
    for name, count in (("a.png", 2), ("deeper/b.png", 1)):
        for _ in range(count):
            asyncio.run(ask(app, chunks=((photos / name).read_bytes(),)))
    status, text = asyncio.run(ask(app, "/metrics", "GET", {}))
    assert status == 200
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["edgeexit_images_total", "exit1"] == 2
    assert found["edgeexit_images_total", "final"] == 1
    assert found["edgeexit_cut_short_total", "final"] == 0
    assert found["edgeexit_confidence_count", "exit1"] == 2
    assert found["edgeexit_confidence_bucket", "exit1", "0.6"] == 0
    assert found["edgeexit_confidence_bucket", "exit1", "0.8"] == 2
    latency = session.statistics().latency
    assert latency is not None
    assert found["edgeexit_latency_seconds", "0.5"] == pytest.approx(latency.p50_ms / 1e3)
    assert ("edgeexit_drift_p_value",) not in found  # this bundle expects nothing


def test_metrics_tell_of_a_drift(make_app: MakeApp, bundle: Path, service: ModuleType) -> None:
    histograms = {"exit1": [0, 0, 0, 500, *[0] * 6], "final": [0, 0, 0, 500, *[0] * 6]}
    expected = {
        "images": 1000,
        "data": "the shelf",
        "thresholds": {"exit1": 0.5},
        "histograms": histograms,
    }
    edit_manifest(bundle, lambda manifest: manifest.update(expected=expected))
    with ee.load(bundle, threads=1) as session:
        app = service.make_app(session, service.read_options(["bundle"]))
        _, text = asyncio.run(ask(app, "/metrics", "GET", {}))
    assert "edgeexit_drift_p_value 1.0" in text


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
    make_app: MakeApp,
    headers: dict[str, str],
    chunks: tuple[bytes, ...],
    status: int,
    text: str,
) -> None:
    app = make_app("--max-bytes", 100)
    got, message = asyncio.run(ask(app, headers=headers, chunks=chunks))
    assert got == status
    assert message.startswith(text)


@pytest.mark.parametrize("media", ["Image/PNG", "IMAGE/JPEG; q=1", "image/x-unheard-of"])
def test_media_types_have_no_letter_case(make_app: MakeApp, photos: Path, media: str) -> None:
    image = (photos / "a.png").read_bytes()
    assert asyncio.run(ask(make_app(), headers={"content-type": media}, chunks=(image,)))[0] == 200


@pytest.mark.parametrize(("options", "limit"), [((), "25,000,000"), (("--max-pixels", 63), "63")])
def test_an_image_that_would_fill_the_memory_is_refused(
    make_app: MakeApp, options: tuple[Any, ...], limit: str, photos: Path
) -> None:
    size = b"8 8" if options else b"50000 50000"
    status, text = asyncio.run(ask(make_app(*options), chunks=(b"P5 " + size + b" 255\n",)))
    assert status == 400
    assert f"pixels, more than {limit}; make it smaller" in text


def test_other_paths_and_methods(make_app: MakeApp) -> None:
    app = make_app("--max-bytes", 100)
    assert asyncio.run(ask(app, "/", "GET", {}))[0] == 404
    assert asyncio.run(ask(app, "/predict", "GET", {}))[0] == 405


def test_who_sends_too_slowly_is_let_go_and_takes_no_place(
    service: ModuleType, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BODY_TIMEOUT_S", 0.2)
    app = make_app("--queue", 1, "--max-bytes", 100)

    async def crowd() -> list[tuple[int, str]]:
        slow = [asyncio.ensure_future(ask(app, pause=5)) for _ in range(8)]
        await asyncio.sleep(0)
        meanwhile = await ask(app, chunks=(b"x",))
        return [meanwhile, *await asyncio.gather(*slow)]

    meanwhile, *slow = asyncio.run(crowd())
    assert meanwhile[0] == 400
    assert slow == [(408, "no image within 0.2 s")] * 8


def test_images_on_their_way_take_bounded_memory(
    service: ModuleType, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BODY_TIMEOUT_S", 0.2)
    app = make_app("--queue", 1, "--max-bytes", 100)

    def half_sent() -> Any:
        chunks = [{"type": "http.request", "body": b"x" * 60, "more_body": True}]

        async def receive() -> dict[str, Any]:
            if not chunks:
                await asyncio.sleep(5)
            return chunks.pop()

        return ask(app, receive=receive)

    async def crowd() -> list[tuple[int, str]]:
        together = await asyncio.gather(half_sent(), half_sent())
        return [*together, await ask(app, chunks=(b"x" * 100,))]

    first, second, after = asyncio.run(crowd())
    assert first == (408, "no image within 0.2 s")
    assert second == (503, "other images are on their way")
    assert after[0] == 400  # all of it is free again


def test_who_hangs_up_leaves_no_traceback(make_app: MakeApp) -> None:
    app = make_app("--queue", 1, "--max-bytes", 100)

    async def hang_up() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert asyncio.run(ask(app, receive=hang_up))[0] == 408


def test_more_than_the_queue_holds_are_refused_and_few_are_decoded_at_once(
    service: ModuleType,
    session: ee.Session,
    make_app: MakeApp,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    decoding: list[int] = []
    prepare = session.prepare

    def held(images: Any, **options: Any) -> Any:
        decoding.append(1)
        assert go_on.wait(10)
        return prepare(images, **options)

    monkeypatch.setattr(session, "prepare", held)
    app = make_app("--queue", 4)
    image = ((photos / "a.png").read_bytes(),)

    async def crowd() -> list[tuple[int, str]]:
        first = [asyncio.ensure_future(ask(app, chunks=image)) for _ in range(4)]
        while len(decoding) < service.DECODERS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(decoding) == service.DECODERS < 4
        late = await ask(app, chunks=image)
        health = await ask(app, "/health", "GET", {})
        go_on.set()
        return [late, health, *await asyncio.gather(*first), await ask(app, chunks=image)]

    late, health, *others = asyncio.run(crowd())
    assert late == (503, "4 requests are waiting")
    assert json.loads(health[1])["waiting"] == 4
    assert [status for status, _ in others] == [200] * 5


def test_who_never_ends_the_headers_is_hung_up_on(
    service: ModuleType, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where bytes come again and again, and behind a request that was answered."""
    monkeypatch.setattr(service, "HEADER_TIMEOUT_S", 0.2)
    config = uvicorn.Config(make_app(), port=0, http=service.Connection, log_level="error")
    server = uvicorn.Server(config)

    async def drip(port: int, first: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first + b"POST /predict HTTP/1.1\r\n")
        answer = asyncio.ensure_future(reader.read())  # all, until the service closes
        for _ in range(100):
            if (await asyncio.wait([answer], timeout=0.05))[0]:
                break
            writer.write(b"a: b\r\n")
        writer.close()
        assert answer.done()
        return answer.result()

    async def serve() -> list[bytes]:
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        get = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
        answers = await asyncio.gather(drip(port, b""), drip(port, get))
        server.should_exit = True
        await serving
        return answers

    nothing, one = asyncio.run(serve())
    assert nothing == b""
    assert one.startswith(b"HTTP/1.1 200 OK")
    assert b"400" not in one


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
