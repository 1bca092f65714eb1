"""What a manifest says of INT8 is checked like all else in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.quantization_entry import MethodScore, QuantizationEntry, TargetEntry
from edgeexit_runtime.engines.building import build_engines
from edgeexit_runtime.testing import edit_manifest

SCORE = {"equal_decisions": 0.99, "equal_labels": 0.98, "closeness": -0.01}
GOOD: dict[str, Any] = {
    "extent": "all",
    "method": "entropy",
    "fallback": "fp16",
    "samples": 80,
    "source": "photos",
    "held_out": 20,
    "candidates": {"minmax": {**SCORE, "equal_decisions": 0.9}, "entropy": SCORE},
    "target": {"name": "tpu", "engine": "gpu", "assumes": "much", "elsewhere": "all of it"},
    "features": {},
}


def test_read(bundle: Path) -> None:
    assert ee.load_manifest(bundle).quantization is None
    edit_manifest(bundle, lambda m: m.update(precision="int8", quantization=GOOD))
    entry = ee.load_manifest(bundle).quantization
    best = MethodScore(0.99, 0.98, -0.01)
    scores = {"minmax": MethodScore(0.9, 0.98, -0.01), "entropy": best}
    target = TargetEntry("tpu", "gpu", "much", "all of it")
    assert entry == QuantizationEntry("all", "entropy", "fp16", 80, "photos", 20, scores, target)
    assert max(scores.values()) == best


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"extent": "most"}, "quantization: extent: expected one of all, classifier, got 'most'"),
        ({"method": "dynamic"}, "expected one of minmax, entropy, percentile, got 'dynamic'"),
        ({"extent": "classifier"}, "method: expected one of dynamic, got 'entropy'"),
        ({"fallback": "bf16"}, "fallback: expected one of fp32, fp16, got 'bf16'"),
        ({"samples": -1}, "samples, held_out: expected 0 or more"),
        ({"samples": "many"}, 'quantization.samples: expected an integer, got "many"'),
        ({"candidates": {"kl": SCORE}}, "candidates: expected one of minmax, entropy, percentile"),
        (
            {"candidates": {"minmax": {}}},
            "quantization.candidates.minmax.equal_decisions: missing",
        ),
        ({"bits": 4}, "quantization.bits: no such field"),
        (
            {"target": {**GOOD["target"], "engine": "npu"}},
            "quantization.target: engine: expected one of cpu, gpu, got 'npu'",
        ),
        (
            {"target": {**GOOD["target"], "weight_bits": 9}},
            "quantization.target: weight_bits: expected 7 to 8, got 9",
        ),
        (
            {"target": {**GOOD["target"], "name": "../tpu"}},
            "quantization.target: name: expected a plain name of up to 64 characters, got '../tpu'",
        ),
        (
            {"target": {**GOOD["target"], "elsewhere": "\x1b[31m"}},
            "quantization.target: target: expected printable text, got '\\x1b[31m'",
        ),
        (
            {"features": {"stage1_out": {"scale": 0, "zero_point": 0}}},
            "quantization.features.stage1_out: rounding: expected a scale above 0",
        ),
        (
            {"features": {"stage1_out": {"scale": 1, "zero_point": 256}}},
            "a zero_point of 0 to 255, got 1.0 and 256",
        ),
        (
            {"features": {"stage1_out": {"scale": 1, "zero_point": 7}}},
            "quantization.features: expected all features of uint8 and no others, got stage1_out",
        ),
    ],
)
def test_refused(wrong: dict[str, Any], message: str, bundle: Path) -> None:
    quantization = {**GOOD, **wrong}
    edit_manifest(bundle, lambda m: m.update(precision="int8", quantization=quantization))
    with pytest.raises(ee.BundleError, match=re.escape(message)):
        ee.load(bundle)


def test_of_int8_alone(bundle: Path) -> None:
    edit_manifest(bundle, lambda m: m.update(quantization=GOOD))
    with pytest.raises(ee.BundleError, match="quantization: expected null in fp32, it is for int8"):
        ee.load(bundle)


def test_tensorrt_cannot_build_classifiers_for_cpus(bundle: Path) -> None:
    entry = {"extent": "classifier", "method": "dynamic", "fallback": "fp32"}
    edit_manifest(bundle, lambda m: m.update(precision="int8", quantization=entry))
    with pytest.raises(
        ee.InputError,
        match=r"with operators that TensorRT does not have; export it with --quantize all$",
    ):
        build_engines(bundle)
    assert not list(bundle.glob("*.engine"))
