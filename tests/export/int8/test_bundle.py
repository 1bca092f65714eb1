"""INT8 bundles: proven on images that they were not calibrated on, run as their files say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from edgeexit_runtime.backends.onnxruntime.sessions import BIAS_ROUNDING
from edgeexit_runtime.backends.reference import open_reference_model
from numpy.typing import NDArray

from edgeexit.errors import DataError, ExportError
from edgeexit.export import (
    PRECISIONS,
    TARGETS,
    CalibrationImages,
    ExportedBundle,
    ExportOptions,
    Quantization,
)
from edgeexit.export.writing import Subject, write_bundle
from edgeexit.training import Checkpoint

KINDS = {
    "all-fp32": Quantization("all", "minmax", "fp32"),
    "all-fp16": Quantization("all", "percentile", "fp16"),
    "all-cpu": Quantization("all", "minmax", "fp32", "cpu"),
    "classifier-fp32": Quantization("classifier", fallback="fp32"),
    "classifier-fp16": Quantization("classifier", fallback="fp16"),
}
LABELS = np.random.default_rng(3).integers(0, 64, 40)


def options(kind: str, **changes: Any) -> ExportOptions:
    floors = {"min_agreement": 0.7, **changes}
    precision = dataclasses.replace(PRECISIONS["int8"].quantized(KINDS[kind]), **floors)
    return ExportOptions(precision, 19, max_batch=16)


Maker = Callable[[str], ExportedBundle]


@pytest.fixture(scope="module")
def make(
    residual_subject: Subject,
    samples: NDArray[np.float32],
    calibration: CalibrationImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Maker:
    """``make(kind)``: an INT8 bundle, made once, of one network that was traced once."""
    folder = tmp_path_factory.mktemp("int8")

    @cache
    def written(kind: str) -> ExportedBundle:
        images = calibration if kind.startswith("all") else None
        arguments = (residual_subject, folder / kind, options(kind), samples, "noise")
        return write_bundle(*arguments, labels=LABELS, calibration=images)

    return written


def by_hand(
    bundle: ExportedBundle, images: NDArray[np.float32]
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Logits and confidences of every exit: the files run one after another by ONNX Runtime."""
    features, answers = {"images": images}, {}
    quantization = bundle.manifest.quantization
    is_half = quantization is not None and quantization.fallback == "fp16"
    for name, entry in bundle.manifest.graphs():
        content = (bundle.folder / entry.file).read_bytes()
        model = open_reference_model(content, rounds_biases=not is_half)
        feeds = {tensor.name: features[tensor.name] for tensor in entry.inputs}
        if "threshold" in model.inputs:
            feeds["threshold"] = np.zeros(1, np.float32)
        found = model.run(feeds)
        if "logits" in found:
            answers[name] = (found["logits"], found["confidence"])
        features |= found
    return answers


@pytest.mark.parametrize("kind", KINDS)
def test_session_answers_as_the_files_do(
    kind: str, make: Maker, samples: NDArray[np.float32]
) -> None:
    bundle = make(kind)
    # a classifier's inputs are rounded to the range of the batch, so one image at a time
    batches = [samples] if kind.startswith("all") else np.split(samples, len(samples))
    with ee.load(bundle.folder) as session:
        left: list[int] = []
        for batch in batches:
            result = session.infer(batch[:16])
            answers = by_hand(bundle, batch[:16])
            confidences = np.stack([confidence for _, confidence in answers.values()])
            thresholds = np.array([[0.8], [0.7], [0.0]], np.float32)
            exits = (confidences >= thresholds).argmax(0)
            near = (np.abs(confidences - thresholds) < 1e-3)[:2].any(0)
            labels = np.stack([logits.argmax(1) for logits, _ in answers.values()])
            rows = np.arange(len(exits))
            assert (result.exits == exits)[~near].all()
            assert (result.labels == labels[exits, rows])[~near].all()
            left += exits.tolist()
    assert len(set(left)) == 3, "the samples should leave at different exits"


@pytest.mark.parametrize("kind", KINDS)
def test_session_leaves_out_the_rounding_of_biases_by_fp16_steps(
    kind: str, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = []
    real = onnxruntime.InferenceSession

    def spy(*arguments: Any, **options: Any) -> Any:
        left_out.append(options["disabled_optimizers"])
        return real(*arguments, **options)

    bundle = make(kind)
    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    ee.load(bundle.folder, providers=["CPUExecutionProvider"]).close()
    assert left_out
    for names in left_out:
        assert names == ([BIAS_ROUNDING] if kind == "all-fp16" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_table_is_a_recount(
    kind: str, make: Maker, residual: Checkpoint, samples: NDArray[np.float32]
) -> None:
    bundle = make(kind)
    with torch.inference_mode():
        network = {n: v.numpy() for n, v in residual.build()(torch.from_numpy(samples)).items()}
    parts = [samples[start : start + 16] for start in range(0, 40, 16)]  # as max_batch says
    answers = [by_hand(bundle, part) for part in parts]
    for proof in bundle.verification.exits[:-1]:
        expected = network[proof.name]
        logits = np.concatenate([part[proof.name][0] for part in answers])
        confidence = np.concatenate([part[proof.name][1] for part in answers])
        threshold = {**residual.thresholds, "final": 0.0}[proof.name]
        exponentials = np.exp(expected - expected.max(1, keepdims=True))
        sure = exponentials.max(1) / exponentials.sum(1)
        assert proof.max_logit_difference == pytest.approx(
            np.abs(logits - expected).max(), rel=0.02
        )
        assert proof.equal_labels == (logits.argmax(1) == expected.argmax(1)).mean()
        assert proof.equal_decisions == ((confidence >= threshold) == (sure >= threshold)).mean()
        assert proof.accuracy == (logits.argmax(1) == LABELS).mean()
        assert proof.network_accuracy == (expected.argmax(1) == LABELS).mean()
    assert any(proof.max_logit_difference > 1e-3 for proof in bundle.verification.exits)
    assert bundle.verification.samples == 40
    assert bundle.verification.excluded == 0
    for old, new in zip(bundle.before, bundle.after, strict=True):
        assert (bundle.folder / f"{new.name}.onnx").read_bytes() == new.content
        assert old.name == new.name
    before, after = (
        sum(len(g.content) for g in graphs) for graphs in (bundle.before, bundle.after)
    )
    assert after < before * (0.65 if kind.startswith("all") else 0.95)


@pytest.mark.parametrize("kind", KINDS)
def test_manifest_says_how(kind: str, make: Maker) -> None:
    bundle = make(kind)
    manifest = ee.load_manifest(bundle.folder)
    assert manifest == bundle.manifest
    assert manifest.precision == "int8"
    entry, wanted = manifest.quantization, KINDS[kind]
    assert entry is not None
    assert (entry.extent, entry.fallback) == (wanted.extent, wanted.fallback)
    if kind.startswith("all"):
        assert (entry.method, entry.samples, entry.held_out) == (wanted.method, 37, 0)
        assert entry.source == "noise to calibrate on"
        assert entry.target == TARGETS[wanted.target].entry
    else:
        assert entry.target is None
        assert (entry.method, entry.samples, entry.source) == ("dynamic", 0, "")
    assert entry.candidates is None


def test_classifier_alone_is_in_8_bits(make: Maker) -> None:
    for kind, floating in (("classifier-fp32", 1), ("classifier-fp16", 10)):
        found = {}
        for graph in make(kind).after:
            model = onnx.load_from_string(graph.content)
            operators = [node.op_type for node in model.graph.node]
            found[graph.name] = operators.count("MatMulInteger")
            assert "QuantizeLinear" not in operators
            weights = [t for t in model.graph.initializer if len(t.dims) == 4]
            assert all(weight.data_type == floating for weight in weights)
            matrices = [
                t
                for t in model.graph.initializer
                if len(t.dims) == 2 and t.data_type == onnx.TensorProto.UINT8
            ]
            assert len(matrices) == found[graph.name]
        assert found == {
            **{"stage1": 0, "exit1": 1, "stage2": 0, "exit2": 0, "stage3": 0, "final": 1},
            "baseline": 1,
        }


def test_classifier_weights_are_half_a_step_off(make: Maker) -> None:
    bundle = make("classifier-fp32")
    old, new = (
        {
            t.name: onnx.numpy_helper.to_array(t)
            for t in onnx.load_from_string(g.content).graph.initializer
        }
        for g in (bundle.before[5], bundle.after[5])
    )
    (name,) = [name.removesuffix("_quantized") for name in new if name.endswith("_quantized")]
    scales = new[f"{name}_scale"]
    step = new[f"{name}_quantized"].astype(np.float64) - new[f"{name}_zero_point"]
    assert (np.abs(step * scales - old[name].T) <= scales * 0.5001).all()
    assert np.abs(step).max(axis=0).tolist() == [127] * 64


def test_images_that_were_calibrated_on_are_not_judged(
    make: Maker,
    residual_subject: Subject,
    samples: NDArray[np.float32],
    calibration: CalibrationImages,
    tmp_path: Path,
) -> None:
    mixed = np.concatenate([samples[:5], calibration.images[:3], samples[5:]])
    labels = np.concatenate([LABELS[:5], [0, 0, 0], LABELS[5:]])
    arguments = (residual_subject, tmp_path / "out", options("all-fp32"))
    bundle = write_bundle(*arguments, mixed, "noise", labels=labels, calibration=calibration)
    assert bundle.verification == dataclasses.replace(make("all-fp32").verification, excluded=3)
    assert ee.load_manifest(bundle.folder).verification["excluded"] == 3
    with pytest.raises(
        DataError,
        match=r"^all 37 images of val are in noise to calibrate on too: .*; calibrate on training",
    ):
        write_bundle(*arguments, calibration.images, "val", calibration=calibration)


def test_opset() -> None:
    with pytest.raises(ExportError, match=r"^opset: INT8 with FP16 fallback takes 19 or more"):
        dataclasses.replace(options("all-fp16"), opset=18)
    assert dataclasses.replace(options("all-fp32"), opset=18).opset == 18
