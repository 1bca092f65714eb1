"""OpenVINO's products of 8 bits where oneDNN finds no VNNI: they saturate, unless it is told.

ONEDNN_MAX_CPU_ISA lets any x86 CPU compute as one without VNNI; it is read once in a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgeexit_runtime.backends.onnxruntime.x86_products import has_vnni, is_x86

pytest.importorskip("openvino")
pytestmark = pytest.mark.skipif(not is_x86(), reason="products of 8 bits are exact here")

Edit = Callable[[Path, Callable[[dict[str, Any]], object]], None]

TESTS = Path(__file__).parents[3] / "tests"  # where support is
WITHOUT_VNNI = "AVX2"
SUM = """
import sys
import numpy as np
from edgeexit_runtime.backends.openvino.compiler import ModelCompiler
from edgeexit_runtime.bundle.manifest import GraphEntry, TensorInfo
from support.int8_products import product_model, sizes

kind, levels, may_saturate = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "told"
tensors = [(TensorInfo(name, "float32", sizes(kind)),) for name in ("x", "out")]
entry = GraphEntry("products.onnx", "", 0, *tensors)
compiler = ModelCompiler("CPU", 1, half=False, may_saturate=may_saturate)
model = compiler.compile(entry, product_model(kind, levels), gated=False, max_batch=2)
(out,) = model(np.ones((2, *sizes(kind)), np.float32)).values()
assert out.min() == out.max()
print(compiler.sums_exactly, round(float(out.min()), 2))
"""
LOAD = """
import logging, sys
import edgeexit_runtime as ee
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
ee.load(sys.argv[1], backend="openvino", threads=1).close()
"""


def run(code: str, *arguments: object, isa: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=TESTS,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_sums_are_exact_without_vnni_and_would_not_be(kind: str) -> None:
    assert run(SUM, kind, 127, "not told", isa=WITHOUT_VNNI) == "True 8.09", "half of 16 is gone"
    assert run(SUM, kind, 127, "told", isa=WITHOUT_VNNI) == "False 16.0"
    assert run(SUM, kind, 63, "not told", isa=WITHOUT_VNNI) == "True 16.0"


@pytest.mark.skipif(has_vnni() is not True, reason="this CPU has no VNNI")
@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_with_vnni_they_are_computed_in_8_bits(kind: str) -> None:
    assert run(SUM, kind, 127, "told", isa="DEFAULT") == "True 16.0"


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_line_of_the_log_says_so(precision: str, bundle: Path, edit_manifest: Edit) -> None:
    if precision == "int8":
        entry = {"extent": "all", "method": "minmax", "fallback": "fp32"}
        edit_manifest(bundle, lambda m: m.update(precision="int8", quantization=entry))
    told = run(LOAD, bundle, isa=WITHOUT_VNNI)
    if precision == "fp32":
        assert told == ""
        return
    for fact in (str(bundle), "VNNI", "floating point", "exact and slower"):
        assert fact in told
