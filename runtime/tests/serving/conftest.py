"""Services of tiny bundles, and requests straight to their apps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from edgeexit_runtime.serving.app import make_app
from edgeexit_runtime.serving.options import ServeOptions
from edgeexit_runtime.serving.service import Service


@dataclass(frozen=True)
class Reply:
    """What a request came to."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A service and its app."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.service = Service(folder, ServeOptions(threads=1, **options))
        self.app = make_app(self.service)

    async def ask(
        self,
        path: str,
        body: bytes | tuple[bytes, ...] = b"",
        headers: dict[str, str] | None = None,
        method: str = "POST",
        pause: float = 0,
        receive: Any = None,
    ) -> Reply:
        """Send one request, its body in chunks with a pause before each."""
        left = list(body) if isinstance(body, tuple) else [body]
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
            "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
        }
        await self.app(scope, receive or receive_chunk, send)
        head = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return Reply(sent[0]["status"], head, b"".join(m.get("body", b"") for m in sent))

    def get(self, path: str) -> Reply:
        return asyncio.run(self.ask(path, method="GET"))

    def post(self, path: str, body: bytes, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return asyncio.run(self.ask(path, body, named))


@pytest.fixture
def running(bundle: Path) -> Iterator[Callable[..., Running]]:
    """``running(queue=2)``: the service of ``bundle`` with these options, closed in the end."""
    made: list[Running] = []

    def make(**options: Any) -> Running:
        made.append(Running(bundle, **options))
        return made[-1]

    yield make
    for each in made:
        each.service.close()
