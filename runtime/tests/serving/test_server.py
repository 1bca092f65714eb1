"""The service as a process of its own: loads, reloads and stops under load; other clients."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from edgeexit_runtime.testing import CHAIN, images_leaving_at

uvicorn = pytest.importorskip("uvicorn")
server = pytest.importorskip("edgeexit_runtime.serving.server")

BODY = json.dumps(
    {
        "inputs": [
            {
                "name": "images",
                "datatype": "FP32",
                "shape": [1, 3, 4, 4],
                "data": images_leaving_at([1]).reshape(-1).tolist(),
            }
        ]
    }
)
INFER = "/v2/models/edgeexit/infer"
TRITONCLIENT = os.environ.get("TRITONCLIENT_PYTHON", sys.executable)
"""A Python that has tritonclient, which wants an older ml-dtypes than onnx has."""


class Process:
    """``python -m edgeexit_runtime serve`` on a free port of the loopback address."""

    def __init__(self, bundle: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        arguments = ["-m", "edgeexit_runtime", "serve", str(bundle), "--threads", "1"]
        self.child = subprocess.Popen(
            [sys.executable, *arguments, "--port", str(self.port), *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        end = time.monotonic() + 60
        while self.child.poll() is None and time.monotonic() < end:
            try:
                assert self.ask("GET", "/v2/health/ready")[0] == 200
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("it does not listen")

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self) -> str:
        self.child.send_signal(signal.SIGTERM)
        _, log = self.child.communicate(timeout=60)
        assert "Traceback" not in log
        return log


@pytest.fixture
def process(bundle: Path) -> Iterator[Process]:
    running = Process(bundle, "--sessions", "2")
    yield running
    running.child.kill()
    running.child.communicate()


def ask_on(process: Process, end: threading.Event) -> Counter[int | str]:
    """Ask again and again until the end, or the service's; count the statuses."""
    seen = Counter[int | str]()
    while not end.is_set():
        try:
            status, body = process.ask("POST", INFER, BODY)
        except ConnectionRefusedError:
            break
        except (OSError, http.client.HTTPException):
            seen["broken"] += 1
            break
        seen[status] += 1
        assert status != 200 or json.loads(body)["outputs"][2]["data"] == [1]
    return seen


def test_an_address_that_is_taken(process: Process, bundle: Path) -> None:
    command = [sys.executable, "-m", "edgeexit_runtime", "serve", bundle, "--port", process.port]
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"127.0.0.1:{process.port}: cannot listen there (Address already in use)" in line
    assert "--port" in line


def test_nothing_is_lost_over_reloads_and_a_stop(process: Process) -> None:
    end = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask_on, process, end) for _ in range(4)]
        try:
            for _ in range(3):
                time.sleep(0.7)
                process.child.send_signal(signal.SIGHUP)
            time.sleep(0.7)
            _, text = process.ask("GET", "/metrics")
            log = process.stop()
        finally:
            end.set()
    seen = sum((client.result() for client in clients), Counter[int | str]())
    assert b'edgeexit_reloads_total{result="done"} 3.0' in text
    assert seen.keys() <= {200, "broken"}
    assert seen[200] > 50
    assert seen["broken"] <= 4, "a client may ask while the port is closed, and only then"
    assert "Application shutdown complete" in log
    assert process.child.returncode == 0


def test_who_never_ends_the_headers_is_hung_up_on(bundle: Path) -> None:
    """Also where bytes come again and again, and behind a request that was answered."""
    service = server.Service(bundle, server.ServeOptions(threads=1))
    connection = type("Quick", (server.Connection,), {"header_timeout_s": 0.2})
    config = uvicorn.Config(server.make_app(service), port=0, http=connection, log_level="error")
    running = uvicorn.Server(config)

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
        serving = asyncio.ensure_future(running.serve())
        while not running.started:
            await asyncio.sleep(0.01)
        port = running.servers[0].sockets[0].getsockname()[1]
        get = b"GET /v2 HTTP/1.1\r\nHost: here\r\n\r\n"
        answers = await asyncio.gather(drip(port, b""), drip(port, get))
        running.should_exit = True
        await serving
        return answers

    nothing, one = asyncio.run(serve())
    service.close()
    assert nothing == b""
    assert one.startswith(b"HTTP/1.1 200 OK")
    assert b"400" not in one


CLIENT = """
import json
import sys
import numpy as np
import tritonclient.http as http

port, pixels = sys.argv[1:]
images = np.array(list(map(float, pixels.split(","))), np.float32).reshape(-1, 3, 4, 4)
client = http.InferenceServerClient(f"127.0.0.1:{port}")
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("edgeexit")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
(tensor,) = client.get_model_metadata("edgeexit")["inputs"]
answers = []
for binary in (True, False):
    asked = http.InferInput(tensor["name"], list(images.shape), tensor["datatype"])
    asked.set_data_from_numpy(images, binary_data=binary)
    wanted = [
        http.InferRequestedOutput(name, binary_data=binary)
        for name in ("labels", "confidences", "exits")
    ]
    for outputs in (None, wanted):
        got = client.infer("edgeexit", [asked], outputs=outputs, request_id="a")
        assert got.get_response()["id"] == "a"
        answers.append([got.as_numpy("labels").tolist(), got.as_numpy("exits").tolist()])
        assert got.as_numpy("confidences").dtype == np.float32
try:
    client.infer("other", [asked])
except Exception as error:
    answers.append([error.status(), error.message()])
print(json.dumps(answers))
"""


def has_tritonclient() -> bool:
    command = [TRITONCLIENT, "-c", "import tritonclient.http"]
    found = shutil.which(TRITONCLIENT) is not None
    return found and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_tritonclient(), reason="no tritonclient: see TRITONCLIENT_PYTHON")
def test_tritonclient_talks_to_it(process: Process) -> None:
    images = images_leaving_at([2, 0, 1])
    pixels = ",".join(map(str, images.reshape(-1).tolist()))
    result = subprocess.run(
        [TRITONCLIENT, "-c", CLIENT, str(process.port), pixels],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    *answers, refused = json.loads(result.stdout)
    expected = CHAIN.expected(images, {"exit1": 0.6, "exit2": 0.6})
    assert answers == [[expected.labels.tolist(), expected.exits.tolist()]] * 4
    assert refused[0] == "404"
    assert "expected model 'edgeexit'" in refused[1]
