"""Requests per second and p99 of ``edgeexit serve`` and of the bare session, in one run.

    python benchmarks/serve_load.py BUNDLE [--sessions 1] [--duration 3] [--rounds 3]

The service runs in a separate process. 1, 4 and 16 clients, in this process, send one image after
the other as bytes over open connections. Between these rounds the bare session answers the same
images in a loop, one at a time, while nothing else runs. Images are noise; each answer is compared
with the session's. The figures include the clients' own time, as they share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from edgeexit_runtime import Session, load
from goals import Figure, finish, parser_of
from numpy.typing import NDArray

from edgeexit.planning.candidates import noise

CLIENTS = (1, 4, 16)
IMAGES = 32
PORT = 8765
SECONDS_TO_START = 60


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of every call, and the seconds in which all were made."""

    latencies_ms: NDArray[np.float64]
    seconds: float

    @property
    def per_second(self) -> float:
        """Calls per second."""
        return len(self.latencies_ms) / self.seconds

    @property
    def words(self) -> str:
        """Percentiles of the milliseconds."""
        median, late = np.percentile(self.latencies_ms, (50, 99))
        return f"p50 {median:.2f}, p99 {late:.2f} ms"

    @classmethod
    def of_all(cls, rounds: list[Times]) -> Times:
        """Merge several rounds into one."""
        latencies = np.concatenate([one.latencies_ms for one in rounds])
        return cls(latencies, sum(one.seconds for one in rounds))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--sessions", type=int, default=1, help="of the service (default 1)")
    parser.add_argument("--duration", type=float, default=3, help="seconds of a round (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default 3)")
    options = parser.parse_args()
    with load(options.bundle, threads=1) as session, service(options):
        images = noise(IMAGES, session.manifest.preprocessing.input_size, options.seed)
        figures = list(compare(session, images, options))
    title = f"edgeexit serve, {options.sessions} sessions of one thread, one image a request"
    finish(title, figures, options.json)


@contextlib.contextmanager
def service(options: argparse.Namespace) -> Iterator[None]:
    """Run the service while the block runs."""
    arguments = [str(options.bundle), "--port", str(PORT), "--threads", "1"]
    command = [sys.executable, "-m", "edgeexit_runtime", "serve", *arguments]
    with subprocess.Popen([*command, "--sessions", str(options.sessions)]) as child:
        try:
            end = time.monotonic() + SECONDS_TO_START
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2/health/ready").close()
                    break
                except OSError:
                    if child.poll() is not None or time.monotonic() > end:
                        raise
                    time.sleep(0.1)
            yield
        finally:
            child.terminate()


def compare(
    session: Session, images: NDArray[np.float32], options: argparse.Namespace
) -> Iterator[Figure]:
    """Yield the figures of the bare session and of the service."""
    labels = [int(session.infer(image[None]).labels[0]) for image in images]
    rounds: dict[int, list[Times]] = {0: [], **{clients: [] for clients in CLIENTS}}
    for _ in range(options.rounds):
        for clients, times in rounds.items():
            if clients == 0:
                times.append(bare(session, images, options.duration))
            else:
                times.append(asyncio.run(crowd(clients, images, labels, options.duration)))
    alone, *together = [Times.of_all(times) for times in rounds.values()]
    yield Figure("bare session", alone.per_second, "per s", note=alone.words)
    for clients, merged in zip(CLIENTS, together, strict=True):
        ratio = merged.per_second / alone.per_second
        note = f"{ratio:.2f} of the bare session; {merged.words}"
        yield Figure(f"{clients} clients", merged.per_second, "per s", note=note)


def bare(session: Session, images: NDArray[np.float32], seconds: float) -> Times:
    """Answer images one after the other."""
    latencies: list[float] = []
    start = before = time.perf_counter()
    while before - start < seconds:
        session.infer(images[len(latencies) % len(images)][None])
        now = time.perf_counter()
        latencies.append((now - before) * 1e3)
        before = now
    return Times(np.array(latencies), before - start)


async def crowd(
    clients: int, images: NDArray[np.float32], labels: list[int], seconds: float
) -> Times:
    """Run clients at the same time."""
    requests = [request(image) for image in images]
    start = time.perf_counter()
    end = start + seconds
    each = await asyncio.gather(*[client(requests, labels, end, n) for n in range(clients)])
    return Times(np.concatenate(each), time.perf_counter() - start)


def request(image: NDArray[np.float32]) -> bytes:
    """Return a whole request of the protocol, its tensor as bytes."""
    tensor = {
        "name": "images",
        "datatype": "FP32",
        "shape": [1, *image.shape],
        "parameters": {"binary_data_size": image.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "labels"}]}).encode()
    lines = [
        "POST /v2/models/edgeexit/infer HTTP/1.1",
        "Host: localhost",
        f"Inference-Header-Content-Length: {len(head)}",
        f"Content-Length: {len(head) + image.nbytes}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + head + image.tobytes()


async def client(
    requests: list[bytes], labels: list[int], end: float, first: int
) -> NDArray[np.float64]:
    """Send requests until the end; return the milliseconds of every answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    latencies: list[float] = []
    number = first
    while (before := time.perf_counter()) < end:
        number = (number + 1) % len(requests)
        writer.write(requests[number])
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        (length,) = [int(it.split(":")[1]) for it in lines if it.startswith("content-length")]
        answer = json.loads(await reader.readexactly(length))
        assert answer["outputs"][0]["data"] == [labels[number]], answer
        latencies.append((time.perf_counter() - before) * 1e3)
    writer.close()
    return np.array(latencies)


if __name__ == "__main__":
    main()
