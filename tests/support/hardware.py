"""Hardware that is not here: what a test lets this machine seem to have, for both packages' tests.

What is put in its place is gone with ``patch``.
"""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from edgeexit_runtime.backends.cuda.device import (
    CAPABILITY_MAJOR,
    CAPABILITY_MINOR,
    GIBIBYTE,
    MULTIPROCESSORS,
    Gpu,
)
from edgeexit_runtime.backends.onnxruntime import x86_products

ORIN = Gpu("Orin", "8.7", multiprocessors=8, memory_gib=8)
OUT_OF_MEMORY = 2  # a CUresult


class CudaDriver:
    """``libcuda`` as far as it is asked which GPU is here.

    Args:
        gpu: the first that it shows; what is None of it is 0.
        fails: the function that fails, if one does.
    """

    def __init__(self, gpu: Gpu, fails: str = "") -> None:
        self._gpu = gpu
        self._fails = fails

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._code("cuInit")

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        return self._code("cuDeviceGet")

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = self._gpu.name.encode()[: size - 1]
        return self._code("cuDeviceGetName")

    def cuDeviceTotalMem_v2(self, size: Any, device: Any) -> int:  # noqa: N802
        usable = 0.92  # the system keeps the rest
        size._obj.value = int((self._gpu.memory_gib or 0) * usable * GIBIBYTE)
        return self._code("cuDeviceTotalMem_v2")

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        major, minor = map(int, self._gpu.compute_capability.split("."))
        value._obj.value = {
            MULTIPROCESSORS: self._gpu.multiprocessors or 0,
            CAPABILITY_MAJOR: major,
            CAPABILITY_MINOR: minor,
        }[attribute]
        return self._code("cuDeviceGetAttribute")

    def _code(self, function: str) -> int:
        return OUT_OF_MEMORY if function == self._fails else 0


def place_gpu(patch: pytest.MonkeyPatch, gpu: Gpu | None, fails: str = "") -> None:
    """Let the driver show this GPU and no other; None for a machine without a driver."""
    open_library = ctypes.CDLL

    def opened(name: str, *arguments: Any, **options: Any) -> Any:
        if name != "libcuda.so.1":
            return open_library(name, *arguments, **options)
        if gpu is None:
            raise OSError(f"{name}: cannot open shared object file")
        return CudaDriver(gpu, fails)

    patch.setattr(ctypes, "CDLL", opened)
    patch.setenv("CUDA_VISIBLE_DEVICES", "")  # for libraries that ask the driver by themselves


def place_cpu(patch: pytest.MonkeyPatch, *, vnni: bool | None) -> None:
    """Let this be an x86 CPU with VNNI, without, or with a system that does not say."""
    patch.setattr(x86_products, "is_x86", lambda: True)
    patch.setattr(x86_products, "has_vnni", lambda: vnni)
