"""A tiny bundle whose answers can be read off the pixels; sessions and clocks as a test says.

Exit number s (0-based) takes the K pixels of channel 0 from s * K on, in reading order, as its
logits; the plain backbone answers as the last exit does. Costs are made up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from edgeexit_runtime import Predictions, Preprocessing
from edgeexit_runtime.manifest import (
    GATE_OUTPUTS,
    IMAGES,
    MANIFEST_NAME,
    SCHEMA_VERSION,
    THRESHOLD,
    ExitEntry,
    GraphEntry,
    Manifest,
    ModelInfo,
    StageEntry,
    TensorInfo,
    manifest_json,
)
from edgeexit_runtime.timing import summarize
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeexit.bench import (
    BenchOptions,
    BenchReport,
    BundleInfo,
    DeviceInfo,
    Mixture,
    MixtureExit,
    PartTiming,
    PathTiming,
)
from edgeexit.bench.server import Clock

SIZE = (3, 8, 8)
CLASSES = tuple("0123456789")
CONFIDENT = 8.0
TYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
}


def write_bundle(folder: Path, baseline: bool = True) -> Path:
    """Write stages ``stage1`` and ``stage2`` and exits ``exit1`` and ``final``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    images = TensorInfo(IMAGES, "float32", SIZE)
    first, second = TensorInfo("first", "float32", SIZE), TensorInfo("second", "float32", SIZE)
    plain = ExitEntry(
        "baseline", None, 0.0, 900, 100, 1000, _exit_graph(folder, "baseline", images, 1)
    )
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        model=ModelInfo("tiny", "n", len(CLASSES)),
        precision="fp32",
        opset=13,
        max_batch=4,
        preprocessing=Preprocessing(SIZE, (0.305,) * 3, (0.324,) * 3),
        class_names=CLASSES,
        stages=(
            StageEntry("stage1", 300, _stage_graph(folder, "stage1", images, first)),
            StageEntry("stage2", 600, _stage_graph(folder, "stage2", first, second)),
        ),
        exits=(
            ExitEntry("exit1", "stage1", 0.5, 300, 50, 350, _exit_graph(folder, "exit1", first, 0)),
            ExitEntry(
                "final", "stage2", 0.0, 900, 100, 1050, _exit_graph(folder, "final", second, 1)
            ),
        ),
        baseline=plain if baseline else None,
    )
    if not baseline:
        (folder / "baseline.onnx").unlink()
    (folder / MANIFEST_NAME).write_text(manifest_json(manifest), encoding="utf-8")
    return folder


def write_images(exits: list[int], labels: list[int]) -> NDArray[np.float32]:
    """Return images (N, 3, 8, 8) that leave at ``exits`` with ``labels``, at thresholds of 0.5.

    The plain backbone answers the label too where the image goes on to the end, else 0.
    """
    images = np.zeros((len(exits), *SIZE), np.float32)
    for image, exit_, label in zip(images, exits, labels, strict=True):
        image[0].reshape(-1)[exit_ * len(CLASSES) + label] = CONFIDENT
    return images


ReportFactory = Callable[..., BenchReport]


def made_report(
    seed: int = 0,
    scale: float = 1.0,
    path_scale: float = 1.0,
    scatter: float = 0.01,
    rounds: int = 60,
    passes: int = 3,
    images: int = 200,
) -> BenchReport:
    """Return a report of made-up times: ms of a normal distribution, no device's.

    The plain backbone takes 2 ms; exit1 0.8 and final 2.4; a third of the images goes on.

    Args:
        seed: of the times, but not of which image leaves where.
        scale: all times are so many times longer.
        path_scale: those of exit1 too.
        scatter: standard deviation over the mean.
        rounds: of 5 calls.
        passes, images: of the mixture; none without images.
    """
    rng = np.random.default_rng(seed)

    def times(median_ms: float, *shape: int) -> NDArray[np.float64]:
        return median_ms * scale * rng.normal(1, scatter, shape)

    def path(name: str, macs: int, median_ms: float, plain: PathTiming | None) -> PathTiming:
        ms = times(median_ms, rounds * 5)
        ratio = 1.0 if plain is None else float(np.median(ms)) / plain.latency.p50_ms
        return PathTiming(name, macs, ratio, macs / 1000, summarize(ms), tuple(ms.tolist()))

    plain = path("baseline", 1000, 2.0, None)
    parts = (("stage1", "stage", 300), ("exit1", "branch", 50), ("stage2", "stage", 600))
    part_ms = [times(macs / 500, rounds * 5) for _, _, macs in parts]
    mixture = None
    if images:
        left_at = np.random.default_rng(7).random(images) < 1 / 3
        by_exit = np.where(left_at, 2.4, 0.8 * path_scale)
        ours = by_exit * times(1.0, passes, images)
        theirs = times(2.0, passes, images)
        shares = (float(1 - left_at.mean()), float(left_at.mean()))
        exits = tuple(
            MixtureExit(
                name, threshold, share, summarize(ours[:, left_at == index]), 0.9 + 0.05 * index
            )
            for index, (name, threshold, share) in enumerate(
                zip(("exit1", "final"), (0.5, None), shares, strict=True)
            )
        )
        mixture = Mixture(
            source="photos",
            samples=images,
            exits=exits,
            ratio=float(ours.mean() / theirs.mean()),
            macs_ratio=0.35 * shares[0] + 1.05 * shares[1],
            latency=summarize(ours),
            baseline_latency=summarize(theirs),
            accuracy=0.91,
            baseline_accuracy=0.93,
            left_at=tuple(left_at.astype(int).tolist()),
            times_ms=tuple(map(tuple, ours.tolist())),
            baseline_times_ms=tuple(map(tuple, theirs.tolist())),
        )
    return BenchReport(
        bundle=BundleInfo("out", "tiny", "n", 10, "fp32", SIZE, {"exit1": 0.5}, {"onnx": "1.19.0"}),
        device=DeviceInfo(
            "Test CPU", 4, "Linux", "CPUExecutionProvider", 1, {"onnxruntime": "1.23.2"}
        ),
        options=BenchOptions(threads=1),
        parts=tuple(
            PartTiming(name, kind, macs, summarize(ms), tuple(ms.tolist()))
            for (name, kind, macs), ms in zip(parts, part_ms, strict=True)
        ),
        baseline=plain,
        paths=(path("exit1", 350, 0.8 * path_scale, plain), path("final", 1050, 2.4, plain)),
        mixture=mixture,
    )


@pytest.fixture
def make_report() -> ReportFactory:
    """See :func:`made_report`."""
    return made_report


@pytest.fixture(autouse=True)
def no_sensors(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever sensors the machine of these tests has: reading them takes ten seconds and more."""
    monkeypatch.setattr("edgeexit.bench.measure.SYSFS", tmp_path_factory.getbasetemp() / "no sysfs")


class FakeClock(Clock):
    """Time that passes only where it is told to, or is waited for."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wait_until(self, moment: float) -> None:
        self.seconds = max(self.seconds, moment)


class FakeSession:
    """Answers with the number in an image's first pixel, and writes down what it was given."""

    def __init__(self, name: str = "", max_batch: int = 8) -> None:
        self.name = name
        self.thresholds: Mapping[str, float] = {}
        self.manifest = SimpleNamespace(max_batch=max_batch)
        self.runner = SimpleNamespace(synchronize=lambda: None)
        self.seen: list[tuple[int, ...]] = []
        self.on_infer: Callable[[], Any] = lambda: None

    def infer(self, images: NDArray[np.float32]) -> Predictions:
        labels = images[:, 0, 0, 0].astype(np.int64)
        self.seen.append(tuple(labels.tolist()))
        self.on_infer()
        return Predictions(labels, np.ones(len(labels), np.float32), labels % 2)


def numbered_images(count: int) -> NDArray[np.float32]:
    """Return images (N, 1, 2, 2) that hold their own number."""
    return (
        np.ones((count, 1, 2, 2), np.float32)
        * np.arange(count, dtype=np.float32)[:, None, None, None]
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of the tiny bundle."""
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def bundle_without_baseline(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "without", baseline=False)


@pytest.fixture
def leaving_at() -> Callable[[list[int], list[int]], NDArray[np.float32]]:
    return write_images


@pytest.fixture
def fakes() -> SimpleNamespace:
    """What results do not depend on timings with: ``Clock``, ``Session``, ``images``."""
    return SimpleNamespace(Clock=FakeClock, Session=FakeSession, images=numbered_images)


def _stage_graph(folder: Path, name: str, read: TensorInfo, written: TensorInfo) -> GraphEntry:
    nodes = [helper.make_node("Identity", [read.name], [written.name])]
    return _write_graph(folder, name, nodes, [], read, (written,))


def _exit_graph(folder: Path, name: str, read: TensorInfo, index: int) -> GraphEntry:
    count = len(CLASSES)
    weights = np.zeros((np.prod(SIZE), count), np.float32)
    weights[index * count + np.arange(count), np.arange(count)] = 1
    nodes = [
        helper.make_node("Constant", [], ["weights"], value=numpy_helper.from_array(weights)),
        helper.make_node("Flatten", [read.name], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["probabilities"], ["confidence"], axes=[1], keepdims=0),
        helper.make_node("ArgMax", ["logits"], ["label64"], axis=1, keepdims=0),
        helper.make_node("Cast", ["label64"], ["label"], to=TensorProto.INT32),
        helper.make_node("GreaterOrEqual", ["confidence", THRESHOLD], ["exits"]),
    ]
    dtypes = ("float32", "float32", "int32", "bool")
    shapes = ((count,), (), (), ())
    outputs = tuple(TensorInfo(*it) for it in zip(GATE_OUTPUTS, dtypes, shapes, strict=True))
    threshold = helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1])
    return _write_graph(folder, name, nodes, [threshold], read, outputs)


def _write_graph(
    folder: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    more_inputs: list[onnx.ValueInfoProto],
    read: TensorInfo,
    outputs: tuple[TensorInfo, ...],
) -> GraphEntry:
    values = [
        helper.make_tensor_value_info(info.name, TYPES[info.dtype], ["batch", *info.shape])
        for info in (read, *outputs)
    ]
    graph = helper.make_graph(nodes, name, [values[0], *more_inputs], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content = model.SerializeToString()
    path = folder / f"{name}.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return GraphEntry(path.name, digest, len(content), (read,), outputs)
