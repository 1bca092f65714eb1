"""Exported bundles on the device, against ONNX Runtime on the CPU: see --bundles."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends import TensorRTBackend, TensorRTOptions
from edgeexit_runtime.bundle.manifest import load_manifest

pytestmark = pytest.mark.gpu

# Least share of decisions, and of labels of the images that leave together, that agree with the
# CPU's: rounding moves those that lie at a threshold.
AGREEMENT = {"fp32": 0.98, "fp16": 0.95, "int8": 0.9}
CUDA = "CUDAExecutionProvider"


def images_for(folder: Path, count: int, seed: int) -> Any:
    shape = load_manifest(folder).preprocessing.input_size
    rng = np.random.default_rng(seed)
    contrast = rng.uniform(0.2, 2, (count, 1, 1, 1))
    return (rng.standard_normal((count, *shape)) * contrast).astype(np.float32)


@pytest.fixture
def with_engines(exported: Path, make_engines: Callable[[Path], None]) -> Path:
    """The bundle, with engines of this device."""
    make_engines(exported)
    return exported


def median_threshold(session: ee.Session, images: Any) -> dict[str, float]:
    """Return thresholds at which about half of the images leave at each exit."""
    names = session.manifest.exit_names
    answers = {}
    for name in names[:-1]:
        session.thresholds = {**dict.fromkeys(names[:-1], 2.0), name: 0.0}
        answers[name] = float(np.median(session.infer(images).confidences))
    return answers


def compare(session: ee.Session, other: ee.Session, folder: Path) -> None:
    manifest = load_manifest(folder)
    random_images = images_for(folder, 64, 1)
    thresholds = median_threshold(other, random_images)
    session.thresholds = other.thresholds = thresholds
    sizes = np.random.default_rng(0).permutation([*range(1, 2 * manifest.max_batch + 2)] * 4)
    same, labels = [], []
    for seed, size in enumerate(sizes.tolist()):
        images = images_for(folder, size, seed)
        got, want = session.infer(images), other.infer(images)
        same.append(got.exits == want.exits)
        labels.append((got.labels == want.labels)[got.exits == want.exits])
    decisions, agreed = np.concatenate(same).mean(), np.concatenate(labels).mean()
    sys.stdout.write(f"\n{folder.name} {session.device}: exits {decisions:.3f} labels {agreed:.3f}")
    assert min(decisions, agreed) >= AGREEMENT[manifest.precision]


def test_tensorrt_decides_as_the_cpu(with_engines: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        ee.load(with_engines, backend="tensorrt") as session,
        ee.load(with_engines, backend="onnxruntime", providers=["CPUExecutionProvider"]) as other,
    ):
        compare(session, other, with_engines)
    sys.stdout.write("\n" + "\n".join(caplog.messages))


def test_a_replay_is_bit_by_bit_the_plain_run(with_engines: Path) -> None:
    images = images_for(with_engines, 64, 5)
    manifest = load_manifest(with_engines)
    sizes = np.random.default_rng(0).permutation([*range(1, manifest.max_batch + 1)] * 2).tolist()
    plainly = TensorRTBackend(TensorRTOptions(graphs=False))
    with (
        ee.load(with_engines, backend="tensorrt") as session,
        ee.load(with_engines, backend=plainly) as other,
    ):
        for thresholds in (dict.fromkeys(manifest.exit_names[:-1], 2.0), manifest.thresholds):
            session.thresholds = other.thresholds = thresholds
            for size in sizes:
                got, want = session.infer(images[:size]), other.infer(images[:size])
                np.testing.assert_array_equal(got.exits, want.exits)
                np.testing.assert_array_equal(got.confidences, want.confidences)
                np.testing.assert_array_equal(got.labels, want.labels)


def test_the_cuda_provider_decides_as_the_cpu(exported: Path) -> None:
    with (
        ee.load(exported, backend="onnxruntime", providers=[CUDA, "CPUExecutionProvider"]) as gpu,
        ee.load(exported, backend="onnxruntime", providers=["CPUExecutionProvider"]) as cpu,
    ):
        compare(gpu, cpu, exported)
