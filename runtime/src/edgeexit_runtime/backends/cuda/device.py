"""The GPU of this machine, from the driver: TensorRT's Python API does not report it."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

# CUdevice_attribute of cuda.h
MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76
GIBIBYTE = 2**30
NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        compute_capability: such as ``8.6``.
        multiprocessors: number of them. All Orin modules have the same name and compute
            capability, and differ in this and in memory.
        memory_gib: its memory, rounded up to a power of two, as the amount that the driver
            reports depends on the system.
    """

    name: str
    compute_capability: str
    multiprocessors: int | None = None
    memory_gib: int | None = None


def find_gpu() -> Gpu | None:
    """Return the driver's first GPU, which is the one that TensorRT uses; None without one."""
    try:
        driver = load_driver()
    except OSError:
        return None
    device, size = ctypes.c_int(), ctypes.c_size_t()
    major, minor, multiprocessors = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(NAME_BYTES)
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, NAME_BYTES, device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), CAPABILITY_MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), CAPABILITY_MINOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(multiprocessors), MULTIPROCESSORS, device)
    )
    if failed:
        return None
    memory_gib = 1
    while memory_gib < size.value / GIBIBYTE:
        memory_gib *= 2
    return Gpu(
        name.value.decode(errors="replace"),
        f"{major.value}.{minor.value}",
        multiprocessors.value,
        memory_gib,
    )


def load_driver() -> Any:
    """Return the driver's library.

    Raises:
        OSError: it cannot be loaded by its usual name.
    """
    if sys.platform == "win32":
        return ctypes.WinDLL("nvcuda.dll")
    return ctypes.CDLL("libcuda.so.1")


def error_text(driver: Any, code: int) -> str:
    """Return the driver's text for an error, or its number."""
    text = ctypes.c_char_p()
    driver.cuGetErrorString(ctypes.c_int(code), ctypes.byref(text))
    return (text.value or b"").decode() or str(code)
