"""Whether OpenVINO's sums of 8-bit products are exact on this CPU, found by computing one.

Without VNNI, oneDNN, which computes them, adds pairs of products of unsigned and signed 8 bits in
16 bits, which saturate silently (its documentation: nuances of int8 computations). The environment
variable ONEDNN_MAX_CPU_ISA makes it do so on any x86 CPU.
"""

from __future__ import annotations

import functools

import numpy as np

from edgeexit_runtime.backends.openvino.backend import CPU
from edgeexit_runtime.backends.openvino.library import new_core, openvino, operators

EXACT = {"LP_TRANSFORMS_MODE": False}
"""Makes OpenVINO's CPU plugin compute Q/DQ nodes as written, in floating point."""

CHANNELS = 16


@functools.cache
def are_products_exact() -> bool:
    """Check a sum of products of the largest 8-bit integers on the CPU: 16 times 1 x 1."""
    images = operators.parameter([1, CHANNELS], np.float32)
    features = operators.fake_quantize(images, *map(np.float32, (0, 1, 0, 1)), 256)
    integers = operators.constant(np.full((CHANNELS, CHANNELS), 127, np.int8))
    weights = operators.multiply(operators.convert(integers, np.float32), np.float32(1 / 127))
    product = operators.matmul(features, weights, False, True)
    model = openvino.Model([product], [images])
    compiled = new_core().compile_model(model, CPU, {"INFERENCE_PRECISION_HINT": "f32"})
    (sums,) = compiled(np.ones((1, CHANNELS), np.float32)).values()
    return bool(np.allclose(sums, CHANNELS, rtol=0.01))
