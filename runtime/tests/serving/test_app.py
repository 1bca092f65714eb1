"""What the service answers and refuses, and how much it holds meanwhile."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgeexit_runtime.errors import BackendError, DeviceLostError, InputError
from edgeexit_runtime.serving.app import BODIES, DECODERS, LARGE_BODY
from edgeexit_runtime.serving.batching import RefusedError
from edgeexit_runtime.serving.options import ServeOptions
from edgeexit_runtime.testing import CHAIN, edit_manifest, images_leaving_at, write_bundle
from numpy.typing import NDArray
from PIL import Image, ImageFile

Running = Any
Run = Callable[..., Running]
PNG = {"content-type": "image/png"}


def infer(service: Running, images: NDArray[np.float32], model: str = "edgeexit") -> Any:
    tensor = {"name": "images", "datatype": "FP32", "shape": list(images.shape)}
    body = json.dumps({"inputs": [{**tensor, "data": images.tolist()}]}).encode()
    return service.post(f"/v2/models/{model}/infer", body)


def picture(size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "png")
    return file.getvalue()


def data(reply: Any, output: str) -> list[Any]:
    (found,) = [it["data"] for it in reply.json["outputs"] if it["name"] == output]
    return list(found)


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_images_are_classified(running: Run, version: str) -> None:
    service = running(name="m")
    reply = infer(service, images_leaving_at([2, 0, 1]), f"m{version}")
    assert reply.status == 200
    assert data(reply, "exits") == data(reply, "labels") == [2, 0, 1]
    assert min(data(reply, "confidences")) > 0.9


def test_what_it_says_of_itself(running: Run) -> None:
    service = running(name="m")
    assert service.get("/v2").json["extensions"] == ["binary_tensor_data"]
    assert service.get("/v2/health/live").status == service.get("/v2/health/ready").status == 200
    assert service.get("/v2/models/m/ready").status == 200
    said = service.get("/v2/models/m").json
    assert said["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 4, 4]}]
    assert [output["name"] for output in said["outputs"]] == ["labels", "confidences", "exits"]
    assert said["parameters"]["class_names"] == ["zero", "one", "two"]
    assert said["parameters"]["exit_names"] == ["exit1", "exit2", "final"]


def test_an_image_file(running: Run) -> None:
    reply = running().post("/predict", picture((40, 30)), content_type="Image/PNG")
    assert reply.status == 200
    assert set(reply.json) == {"label", "confidence", "exit"}
    assert reply.json["label"] in ("zero", "one", "two")


def test_a_deadline_holds(running: Run) -> None:
    service = running(deadline_ms=1e-6)
    reply = infer(service, images_leaving_at([2]))
    assert data(reply, "exits") == [0]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "told"),
    [
        ("/v2/models/x/infer", b"", {}, 404, "expected model 'edgeexit', version 1"),
        ("/v2/models/edgeexit/versions/2/infer", b"", {}, 404, "version 1"),
        ("/v2/models/edgeexit/infer", b"{", {}, 400, "the request: expected JSON"),
        ("/v2/models/edgeexit/infer", b"x" * 201, {}, 413, "at most 200 bytes"),
        ("/v2/models/edgeexit/infer", b"", {"content-length": "201"}, 413, "at most 200"),
        ("/v2/models/edgeexit/infer", b"x", {"content-encoding": "gzip"}, 415, "compressed"),
        ("/predict", b"x", {}, 415, "expected Content-Type: image/jpeg"),
        ("/predict", b"x", {"content-type": "multipart/form-data"}, 415, "--data-binary @FILE"),
        ("/predict", b"x", PNG, 400, "the image: not a readable image"),
        ("/predict", b"P5 50000 50000 255\n", PNG, 400, "pixels, more than 25,000,000"),
        ("/nowhere", b"", {}, 404, "Not Found; there are POST /predict"),
        ("/metrics", b"", {}, 405, "Method Not Allowed; there are POST /predict"),
        ("/v2/models/../../etc/passwd/infer", b"", {}, 404, "Not Found"),
    ],
)
def test_what_is_refused(
    running: Run, path: str, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    service = running(max_bytes=200)
    reply = asyncio.run(service.ask(path, body, headers))
    assert reply.status == status
    assert told in reply.json["error"]


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((1, 3, 5, 4), np.float32), r"expected shape (N, 3, 4, 4) with N >= 1, got (1,"),
        (np.zeros((0, 3, 4, 4), np.float32), "with N >= 1"),
        (np.full((1, 3, 4, 4), 1e39), "expected finite values"),
    ],
)
def test_tensors_that_are_no_images(running: Run, images: Any, told: str) -> None:
    reply = infer(running(), images)
    assert reply.status == 400
    assert told in reply.json["error"]


@pytest.mark.parametrize(
    ("error", "ready"),
    [(BackendError("stage1: out of memory"), 200), (DeviceLostError("it fell off the bus"), 503)],
)
def test_an_engine_that_fails_and_a_device_that_is_lost(
    running: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, ready: int
) -> None:
    service = running()

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(service.service.batcher.sessions[0], "infer", fail)
    reply = infer(service, np.zeros((1, 3, 4, 4), np.float32))
    assert (reply.status, reply.json) == (500, {"error": str(error)})
    assert service.get("/v2/health/ready").status == ready
    assert service.get("/v2/models/edgeexit/ready").status == ready
    assert service.get("/v2/health/live").status == 200


def test_large_bodies_are_read_as_small_ones(running: Run) -> None:
    images = np.zeros((500, 3, 4, 4), np.float32)
    assert 3 * images.size > LARGE_BODY  # characters of the zeros
    assert len(data(infer(running(), images), "labels")) == 500


@pytest.mark.parametrize(
    "option",
    [
        {"max_wait_ms": math.inf},
        {"max_wait_ms": math.nan},
        {"timeout_s": math.inf},
        {"timeout_s": math.nan},
        {"deadline_ms": 0.0},
        {"deadline_ms": math.nan},
        {"port": 65536},
        {"port": -1},
    ],
)
def test_options_that_no_request_could_be_answered_with(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(InputError, match=name):
        ServeOptions(**option)


# how much it holds


def test_who_sends_too_slowly_is_let_go(running: Run) -> None:
    service = running(timeout_s=0.2)

    async def crowd() -> list[Any]:
        slow = [asyncio.ensure_future(service.ask("/predict", b"x", PNG, pause=5))] * 4
        meanwhile = await service.ask("/predict", picture(), PNG)
        return [meanwhile, *await asyncio.gather(*slow)]

    meanwhile, *slow = asyncio.run(crowd())
    assert meanwhile.status == 200
    assert {(reply.status, reply.json["error"]) for reply in slow} == {
        (408, "no complete body within 0.2 s")
    }


def test_bodies_on_their_way_take_bounded_memory(running: Run) -> None:
    service = running(max_bytes=100, timeout_s=0.5)

    def half_sent() -> Any:
        chunks = [{"type": "http.request", "body": b"x" * 60, "more_body": True}]

        async def receive() -> dict[str, Any]:
            if not chunks:
                await asyncio.sleep(5)
            return chunks.pop()

        return service.ask("/predict", headers=PNG, receive=receive)

    async def crowd() -> tuple[list[Any], Any]:
        count = BODIES * 100 // 60 + 1  # one more than fit
        together = await asyncio.gather(*[half_sent() for _ in range(count)])
        return together, await service.ask("/predict", b"x" * 100, PNG)

    together, after = asyncio.run(crowd())
    assert sorted(reply.status for reply in together) == [408] * (len(together) - 1) + [503]
    assert after.status == 400  # all of it is free again


def test_who_hangs_up_leaves_no_traceback(running: Run) -> None:
    async def hang_up() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    service = running()
    assert asyncio.run(service.ask("/predict", headers=PNG, receive=hang_up)).status == 408


def test_few_files_are_decoded_at_once(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, decoding = threading.Event(), []
    opened = ImageFile.ImageFile.load

    def held(image: ImageFile.ImageFile) -> Any:
        decoding.append(1)
        assert go_on.wait(10)
        return opened(image)

    service = running()
    body = picture()
    monkeypatch.setattr(ImageFile.ImageFile, "load", held)

    async def crowd() -> list[Any]:
        asked = [asyncio.ensure_future(service.ask("/predict", body, PNG)) for _ in range(6)]
        while len(decoding) < DECODERS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(decoding) == DECODERS < 6
        go_on.set()
        return list(await asyncio.gather(*asked))

    assert [reply.status for reply in asyncio.run(crowd())] == [200] * 6


@pytest.mark.parametrize(("is_stopping", "status"), [(False, 429), (True, 503)])
def test_a_refusal_says_when_to_try_again(
    running: Run, monkeypatch: pytest.MonkeyPatch, is_stopping: bool, status: int
) -> None:
    service = running()

    def refuse(images: Any) -> Any:
        raise RefusedError("try later", is_stopping=is_stopping)

    monkeypatch.setattr(service.service.batcher, "submit", refuse)
    reply = infer(service, np.zeros((1, 3, 4, 4), np.float32))
    assert (reply.status, reply.json) == (status, {"error": "try later"})
    assert reply.headers["retry-after"] == "1"


# metrics and reloads


def metric(service: Any, name: str) -> float:
    lines = service.get("/metrics").body.decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.split()[-1])


def test_metrics(running: Run) -> None:
    service = running(sessions=2)
    for exits in ([0, 0, 1], [2]):
        infer(service, images_leaving_at(exits))
    service.post("/predict", b"x", content_type="image/png")
    assert metric(service, 'edgeexit_requests_total{status="200"}') == 2
    assert metric(service, 'edgeexit_requests_total{status="400"}') == 1
    assert metric(service, 'edgeexit_images_total{exit="exit1"}') == 2
    assert metric(service, 'edgeexit_images_total{exit="final"}') == 1
    assert metric(service, "edgeexit_batch_images_sum") == 4
    assert metric(service, "edgeexit_request_seconds_count") == 3
    assert metric(service, "edgeexit_waiting_images") == 0
    assert metric(service, 'edgeexit_confidence_bucket{exit="exit1",le="+Inf"}') == 2
    assert metric(service, 'edgeexit_confidence_bucket{exit="exit1",le="0.2"}') == 0


@pytest.mark.parametrize("sessions", [2, 12])
def test_metrics_tell_of_a_drift(running: Run, bundle: Path, sessions: int) -> None:
    counts = [0, 0, 0, 500, *[0] * 6]
    expected = {
        "images": 1500,
        "data": "the shelf",
        "thresholds": {"exit1": 0.6, "exit2": 0.6},
        "histograms": dict.fromkeys(("exit1", "exit2", "final"), counts),
    }
    assert b"drift" not in running().get("/metrics").body
    edit_manifest(bundle, lambda manifest: manifest.update(expected=expected))
    service = running(sessions=sessions)
    assert metric(service, "edgeexit_drift_p_value") == 1
    images = np.zeros((64, 3, 4, 4), np.float32)  # unlike the shelf, all unsure
    for _ in range(4 * sessions):
        infer(service, images)
    assert metric(service, "edgeexit_drift_p_value") < 0.01


def test_a_reload_that_fails_changes_nothing(running: Run, bundle: Path) -> None:
    service = running()
    sessions = service.service.batcher.sessions
    (bundle / "stage1.onnx").write_bytes(b"")
    service.service.reload()
    assert service.service.batcher.sessions == sessions
    assert service.post("/predict", picture(), content_type="image/png").status == 200
    assert metric(service, 'edgeexit_reloads_total{result="failed"}') == 1


def test_a_reload_takes_the_new_bundle(running: Run, bundle: Path) -> None:
    service = running(sessions=2)
    edit_manifest(bundle, lambda manifest: manifest.update(class_names=["a", "b", "c"]))
    service.service.reload()
    reply = service.post("/predict", picture(), content_type="image/png")
    assert reply.json["label"] in ("a", "b", "c")
    assert metric(service, 'edgeexit_reloads_total{result="done"}') == 1


def test_a_file_that_was_decoded_for_another_bundle(
    running: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pixel is 2 by the old bundle's mean, and 0 by the new one's."""
    service = running()
    file = io.BytesIO()
    image = Image.new("RGB", (4, 4))
    image.putpixel((1, 0), (255, 0, 0))
    image.save(file, "png")
    reply = service.post("/predict", file.getvalue(), content_type="image/png").json
    assert reply["exit"] == "exit1"
    edit_manifest(bundle, lambda manifest: manifest["preprocessing"].update(mean=[1.0, 0.4, 0.3]))
    _reload_while_decoding(service, monkeypatch)
    reply = service.post("/predict", file.getvalue(), content_type="image/png").json
    assert (reply["exit"], reply["confidence"]) == ("final", 0.3333)
    assert metric(service, 'edgeexit_reloads_total{result="done"}') == 1


def test_a_file_that_was_decoded_for_a_bundle_of_another_size(
    running: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = running()
    size = (3, 6, 5)
    preprocessing = replace(CHAIN.preprocessing, input_size=size)
    stages = tuple(tuple(replace(it, shape=size) for it in stage) for stage in CHAIN.stages)
    write_bundle(bundle, replace(CHAIN, preprocessing=preprocessing, stages=stages))
    _reload_while_decoding(service, monkeypatch)
    assert service.post("/predict", picture(), content_type="image/png").status == 200
    assert service.get("/v2/models/edgeexit").json["inputs"][0]["shape"] == [-1, 3, 6, 5]


def _reload_while_decoding(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    load, reloads = ImageFile.ImageFile.load, []

    def load_slowly(self: ImageFile.ImageFile) -> Any:
        if not reloads:
            reloads.append(service.service.reload())
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load_slowly)
