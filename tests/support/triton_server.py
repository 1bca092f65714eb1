"""A real Triton Inference Server, on a repository that was written here.

``TRITON_PYTHON`` names a Python with ``nvidia-pytriton`` (its wheel brings a server and the python
backend), numpy below 2, onnxruntime and ``tritonclient[http]``. The wheel has no backend for ONNX
Runtime: where ``TRITON_BACKENDS`` names no folder with ``onnxruntime/libtriton_onnxruntime.so``,
the parts are run by a stand-in in Python.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeexit.export.triton.schema import config_text
from support.triton_double import read_config

PYTHON = os.environ.get("TRITON_PYTHON")
BACKENDS = os.environ.get("TRITON_BACKENDS")
FIND = """
import importlib.util, json, sys, sysconfig
folder, = importlib.util.find_spec("pytriton").submodule_search_locations
version = f"{sys.version_info.major}.{sys.version_info.minor}"
print(json.dumps([folder, version, sysconfig.get_path("purelib"), sysconfig.get_path("scripts")]))
"""
STAND_IN = Path(__file__).with_name("triton_stand_in.py")


def change_config(model: Path, change: Callable[[Any], object]) -> None:
    """Edit a model's ``config.pbtxt``, as a message of its schema."""
    config = read_config(model)
    change(config)
    (model / "config.pbtxt").write_text(config_text(config), encoding="utf-8")


class TritonServer:
    """A server on free ports of the loopback address, whose models are loaded by request."""

    def __init__(self, repository: Path, scratch: Path) -> None:
        assert PYTHON is not None
        found = subprocess.run([PYTHON, "-c", FIND], capture_output=True, text=True, check=True)
        pytriton, version, packages, scripts = json.loads(found.stdout)
        server = Path(pytriton) / "tritonserver"
        backends = scratch / "backends"
        shutil.copytree(server / "backends", backends)
        for file in (server / "python_backend_stubs" / version).iterdir():
            shutil.copy(file, backends / "python")
        self.has_onnxruntime = BACKENDS is not None
        if BACKENDS is not None:
            shutil.copytree(Path(BACKENDS) / "onnxruntime", backends / "onnxruntime")
        else:
            for part in repository.glob("*/1/model.onnx"):
                shutil.copy(STAND_IN, part.with_name("model.py"))
                change_config(part.parent.parent, _run_by_python)
        self.port, grpc = _free_port(), _free_port()
        self.log = scratch / "log"
        command = [
            *(server / "bin" / "tritonserver", "--model-repository", repository),
            *("--backend-directory", backends, "--model-control-mode", "explicit"),
            *("--load-model", "*", "--exit-on-error", "false", "--allow-metrics", "false"),
            *("--http-address", "127.0.0.1", "--http-port", self.port),
            *("--grpc-address", "127.0.0.1", "--grpc-port", grpc),
        ]
        with self.log.open("w") as log:
            self._child = subprocess.Popen(
                list(map(str, command)),
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "PATH": f"{scripts}:{os.environ['PATH']}",
                    "PYTHONPATH": packages,
                    "LD_LIBRARY_PATH": str(Path(packages) / "nvidia_pytriton.libs"),
                    "OMP_NUM_THREADS": "1",
                },
            )
        self._await_start()

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask once; return the status, and what came as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, json.loads(content) if content else None

    def load(self, model: str) -> str:
        """Load a model anew; return what the server says against it, nothing where it is ready."""
        return self._control(model, "load")

    def unload(self, model: str) -> None:
        assert self._control(model, "unload") == ""

    def close(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(60)
        finally:
            self._child.kill()

    def _control(self, model: str, what: str) -> str:
        status, said = self.request("POST", f"/v2/repository/models/{model}/{what}", {})
        return "" if status == 200 else str(said["error"])

    def _await_start(self) -> None:
        end = time.monotonic() + 120
        while self._child.poll() is None and time.monotonic() < end:
            try:
                assert self.request("GET", "/v2/health/live")[0] == 200
                return
            except (OSError, AssertionError):
                time.sleep(0.2)
        self.close()
        raise AssertionError(self.log.read_text())


def _run_by_python(config: Any) -> None:
    config.ClearField("platform")
    config.backend = "python"
    config.instance_group.add(kind="KIND_CPU")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
