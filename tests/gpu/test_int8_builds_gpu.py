"""INT8 engines of every backbone, and the layers that TensorRT had no INT8 kernel for.

Depthwise convolutions had none in older versions (NVIDIA/TensorRT#3385, #4060): they are computed
in floating point then, and the lines that are printed name them, beside the inspector's layers.
Weights are random. Without a GPU, TensorRT-RTX builds them too:
``pytest -m gpu tests/gpu/test_int8_builds_gpu.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime.engines.building import build_engines, describe
from edgeexit_runtime.engines.layers import FINEST_LAST
from gpu.make_bundles import export_one, random_checkpoint, untested

from edgeexit.export import PRECISIONS
from edgeexit.models import list_backbones, make_spec
from edgeexit.models.registry import backbone_entry

pytestmark = pytest.mark.gpu


LARGEST = (3, 96, 96)  # of the images: which kernels there are does not depend on it, the time does


def pattern(name: str) -> str:
    """Return the smallest branches that a backbone takes."""
    entry = backbone_entry(name)
    backbone = entry.build(100, entry.input_size)
    token = "m" if name.startswith("msdnet") else "n"
    return "+".join([token] * len(backbone.exit_stages))


@pytest.mark.parametrize("name", list_backbones())
def test_int8_engines(name: str, tmp_path: Path) -> None:
    size = min(backbone_entry(name).input_size, LARGEST)
    checkpoint = random_checkpoint(make_spec(name, pattern(name), 100, size))
    noise = np.random.default_rng(0).standard_normal((4, *size)).astype(np.float32)
    bundle = tmp_path / "bundle"
    export_one(checkpoint, untested(PRECISIONS["int8"]), noise, bundle)
    report = build_engines(bundle)
    sys.stdout.write("\n" + "\n".join(describe(report)) + "\n")
    layers = [engine.entry.layers for engine in report.engines]
    assert any("int8" in shares for shares in layers)
    assert all(set(shares) <= set(FINEST_LAST) for shares in layers)
