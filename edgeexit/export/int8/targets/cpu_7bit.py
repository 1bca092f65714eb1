"""Target cpu with weights in 7 bits, for x86 CPUs without VNNI.

These CPUs add two products of unsigned and signed 8 bits in 16 bits, which saturate at 32,767: with
weights up to 63 the sum is at most 2 x 255 x 63 = 32,130. So every engine is exact with its fastest
kernels, and needs no option for it. Ranges, features and graphs are those of target cpu; the
rounding error of a weight is up to twice as large.
"""

from __future__ import annotations

from dataclasses import replace

from edgeexit_runtime.backends.onnxruntime.x86_products import needs_exact_products

from edgeexit.export.int8.targets.base import TARGETS
from edgeexit.export.int8.targets.cpu import CPU_TARGET

NAME = "cpu-7bit"

TARGETS.register(NAME)(
    replace(
        CPU_TARGET,
        entry=replace(
            CPU_TARGET.entry,
            name=NAME,
            weight_bits=7,
            assumes="nothing: two products with weights in 7 bits fit into 16 bits",
        ),
    )
)


def target_of_this_cpu() -> str:
    """Return the name of the target that is fastest on this machine's CPU."""
    return NAME if needs_exact_products() else CPU_TARGET.entry.name
