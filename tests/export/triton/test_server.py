"""A real Triton Inference Server answers as the session does: see :mod:`support.triton_server`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends.onnxruntime.x86_products import needs_exact_products
from numpy.typing import NDArray
from support.digits_bundle import digits_bundle, digits_frames
from support.triton_server import PYTHON, TritonServer, change_config

from edgeexit.export.triton.repository import write_repository
from edgeexit.export.triton.schema import _model_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="no Triton: see TRITON_PYTHON"),
]
PRECISIONS = ("fp32", "fp16", "int8")
SIZES = (1, 3, 1, 8, 2, 5)  # of requests, one after another

CLIENT = """
import sys
import numpy as np
import tritonclient.http as http

port, model, file = sys.argv[1:]
given = np.load(file)
client = http.InferenceServerClient(f"127.0.0.1:{port}", concurrency=16)
waiting, place = [], 0
for size in given["sizes"]:
    images = given["images"][place : place + size]
    place += size
    asked = http.InferInput("images", list(images.shape), "FP32")
    asked.set_data_from_numpy(images)
    waiting.append(client.async_infer(model, [asked]))
answers = {"labels": [], "confidences": [], "exits": []}
errors = []
for number, answer in enumerate(waiting):
    try:
        got = answer.get_result()
    except Exception as error:
        errors.append(f"{number}: {error}")
        continue
    for name, values in answers.items():
        values.append(got.as_numpy(name)[:, 0])
np.savez(file, errors=errors, **{name: np.concatenate(them) for name, them in answers.items()})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of the digits by precision, and a repository of them all."""
    folder: Path = tmp_path_factory.mktemp("triton")
    (folder / "repository").mkdir()
    for precision in PRECISIONS:
        bundle = digits_bundle(folder / precision, precision)
        written = write_repository(bundle, folder / "one", precision)
        for model in written.folder.iterdir():
            shutil.move(model, folder / "repository")
        written.folder.rmdir()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TritonServer]:
    server = TritonServer(folder / "repository", folder)
    yield server
    server.close()


def ask(
    server: TritonServer, model: str, images: NDArray[np.float32], scratch: Path
) -> dict[str, Any]:
    """Ask by tritonclient, in requests of several sizes that are on their way together."""
    sizes = [SIZES[number % len(SIZES)] for number in range(len(images))]
    ends = np.cumsum(sizes)
    count = int(np.searchsorted(ends, len(images))) + 1
    sizes = [*sizes[: count - 1], len(images) - sum(sizes[: count - 1])]
    file = scratch / "asked.npz"
    np.savez(file, images=images, sizes=sizes)
    assert PYTHON is not None
    command = [PYTHON, "-c", CLIENT, str(server.port), model, str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return {**dict(np.load(file)), "sizes": sizes}


def assert_answers(got: dict[str, Any], expected: ee.Predictions) -> None:
    assert got["errors"].tolist() == []
    assert (got["labels"] == expected.labels).all()
    assert (got["exits"] == expected.exits).all()
    assert np.abs(got["confidences"] - expected.confidences).max() < 1e-5


@pytest.mark.parametrize("precision", PRECISIONS)
def test_digits_get_the_sessions_answers(
    precision: str, folder: Path, server: TritonServer, tmp_path: Path
) -> None:
    model = folder / "repository" / precision
    if precision == "int8" and needs_exact_products():
        assert "no VNNI" in server.load(precision)
        if server.has_onnxruntime:
            return
        change_config(model, lambda config: config.parameters.pop("needs_vnni"))
    with ee.load(folder / precision, backend="onnxruntime") as session:
        images = session.preprocess(digits_frames())
        for setting in ({"exit1": 0.6, "exit2": 0.6}, {"exit1": 0.9, "exit2": 2.0}):
            session.thresholds = setting

            def change(config: Any, setting: dict[str, float] = setting) -> None:
                config.dynamic_batching.max_queue_delay_microseconds = 20_000
                for name, value in setting.items():
                    config.parameters[f"threshold_{name}"].string_value = str(value)

            change_config(model, change)
            assert server.load(precision) == ""
            got = ask(server, precision, images, tmp_path)
            assert_answers(got, session.infer(images))
    (said,) = server.request("GET", f"/v2/models/{precision}/stats")[1]["model_stats"]
    assert said["inference_count"] == len(images)  # since it was loaded
    assert said["execution_count"] < len(got["sizes"])  # requests were answered together


def test_requests_that_fail_fail_alone(folder: Path, server: TritonServer, tmp_path: Path) -> None:
    with ee.load(folder / "fp32", backend="onnxruntime") as session:
        session.thresholds = {"exit1": 0.6, "exit2": 0.6}
        change_config(folder / "repository" / "fp32", _usual)
        assert server.load("fp32") == ""
        images = session.preprocess(digits_frames()[:60])
        expected = session.infer(images)
    images[4] = np.nan  # of the third request, which is of one image behind one and three
    got = ask(server, "fp32", images, tmp_path)
    (error,) = got["errors"]
    assert error.startswith("2: ")
    assert "expected finite values" in error
    assert (got["labels"] == np.delete(expected.labels, 4)).all()
    server.unload("fp32_final")
    try:
        got = ask(server, "fp32", images[5:], tmp_path)
        assert len(got["errors"]) > 1
        assert all("fp32_final" in error for error in got["errors"])
        assert len(got["exits"]) > 0
        assert set(got["exits"]) <= {0, 1}
    finally:
        assert server.load("fp32_final") == ""


@pytest.mark.parametrize("text", ["high", "2.5"])
def test_thresholds_that_are_none(text: str, folder: Path, server: TritonServer) -> None:
    def change(config: Any) -> None:
        config.parameters["threshold_exit2"].string_value = text

    model = folder / "repository" / "fp32"
    change_config(model, change)
    try:
        assert f"threshold_exit2: expected 0 to 1, or 2 for never, got '{text}'" in server.load(
            "fp32"
        )
        assert server.request("GET", "/v2/models/fp32/ready")[0] == 200  # as it was
    finally:
        change_config(model, _usual)


def test_clients_are_told_what_the_answers_mean(server: TritonServer) -> None:
    said = server.request("GET", "/v2/models/fp16/config")[1]["parameters"]
    assert json.loads(said["exit_names"]["string_value"]) == ["exit1", "exit2", "final"]


def test_the_guides_client(server: TritonServer) -> None:
    guide = Path(__file__).parents[3] / "docs" / "guides" / "triton.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    code = code.replace("localhost:8000", f"127.0.0.1:{server.port}").replace(
        '"edgeexit"', '"fp16"'
    )
    assert PYTHON is not None
    result = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert len(lines) == 2
    assert {exit_ for _, _, exit_ in lines} <= {"exit1", "exit2", "final"}


def test_the_schema_is_tritonclients() -> None:
    code = "import sys; from tritonclient.grpc import model_config_pb2 as m; "
    code += "sys.stdout.buffer.write(m.DESCRIPTOR.serialized_pb)"
    assert PYTHON is not None
    result = subprocess.run([PYTHON, "-c", code], capture_output=True, check=True)
    assert result.stdout == _model_config().DESCRIPTOR.file.serialized_pb


def _usual(config: Any) -> None:
    for name in ("exit1", "exit2"):
        config.parameters[f"threshold_{name}"].string_value = "0.6"
