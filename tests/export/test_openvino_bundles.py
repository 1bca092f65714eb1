"""Exported bundles in OpenVINO answer as in ONNX Runtime, within tolerances that were measured.

Measured on a ResNet-20 trained on the digits, 359 test images: confidences differ by at most 8e-7
in FP32, 0.015 in FP16 (computed in BF16 there), 0.03 in INT8, 0.11 in INT8 beside FP16; labels of
0, 0, 0.5 and 0.5 % of the answers. The networks here are not trained, and less sure.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends.onnxruntime.x86_products import needs_exact_products
from numpy.typing import NDArray

from edgeexit.export import PRECISIONS, CalibrationImages, ExportOptions, Quantization
from edgeexit.export.writing import Subject, write_bundle

pytest.importorskip("openvino")


def answers(folder: Path, backend: str, images: NDArray[np.float32]) -> tuple[Any, Any, str]:
    with ee.load(folder, backend=backend, threads=1) as session:
        said = session.runner.computed_in()
        return session.infer(images), session.infer_all_exits(images), said


@pytest.mark.parametrize(
    ("precision", "tolerance", "computed_in"),
    [("fp32", 2e-6, {"fp32"}), ("fp16", 0.08, {"fp32", "fp16", "bf16"})],
)
def test_as_onnx_runtime(
    request: pytest.FixtureRequest,
    samples: NDArray[np.float32],
    precision: str,
    tolerance: float,
    computed_in: set[str],
) -> None:
    folder = request.getfixturevalue(f"{precision}_bundle").folder
    _, ours, said = answers(folder, "openvino", samples)
    _, theirs, theirs_said = answers(folder, "onnxruntime", samples)
    np.testing.assert_allclose(ours.confidences, theirs.confidences, atol=tolerance)
    assert theirs_said.split()[0] == "fp32", "on a CPU, FP16 too"
    assert (ours.labels == theirs.labels).mean() >= (1 if precision == "fp32" else 0.95)
    (kind,) = (part.split()[0] for part in said.split(", "))
    assert kind in computed_in


@pytest.mark.parametrize("fallback", ["fp32", "fp16"])
def test_int8_is_computed_in_int8_where_that_is_exact(
    fallback: str,
    residual_subject: Subject,
    samples: NDArray[np.float32],
    calibration: CalibrationImages,
    tmp_path: Path,
) -> None:
    quantization = Quantization("all", "minmax", fallback)
    precision = PRECISIONS["int8"].quantized(quantization)
    options = ExportOptions(dataclasses.replace(precision, min_agreement=0.7), 19, max_batch=16)
    folder = tmp_path / "int8"
    write_bundle(residual_subject, folder, options, samples, "noise", calibration=calibration)
    _, ours, said = answers(folder, "openvino", samples)
    _, theirs, _ = answers(folder, "onnxruntime", samples)
    assert said.startswith("fp32 " if needs_exact_products() else "int8 ")
    assert (ours.labels == theirs.labels).mean() >= 0.9
    assert np.abs(ours.confidences - theirs.confidences).mean() < 0.03


def test_who_leaves_is_decided_in_fp32(
    request: pytest.FixtureRequest, samples: NDArray[np.float32]
) -> None:
    """Also where the layers are in BF16: a confidence and its flag never disagree."""
    folder = request.getfixturevalue("fp16_bundle").folder
    with ee.load(folder, backend="openvino", threads=1) as session:
        off = dict.fromkeys(session.thresholds, ee.NEVER)
        for index in range(8):
            image = samples[index : index + 1]
            for position, name in enumerate(off):
                confidence = session.infer_all_exits(image).confidences[position, 0]
                session.thresholds = {**off, name: float(confidence)}
                assert session.infer(image).exits[0] == position
                session.thresholds = {**off, name: float(np.nextafter(confidence, np.float32(1)))}
                assert session.infer(image).exits[0] > position
