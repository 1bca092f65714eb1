"""Which GPU is here, asked of the driver itself: TensorRT's Python API does not tell."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["Gpu", "find_gpu", "load_driver"]

# CUdevice_attribute of cuda.h
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU: its name and its compute capability, such as ``8.6``."""

    name: str
    compute_capability: str


def find_gpu() -> Gpu | None:
    """Return the first GPU that the driver shows, which is the one TensorRT takes; None without."""
    try:
        driver = load_driver()
    except OSError:
        return None
    return _first_gpu(driver)


def load_driver() -> Any:
    """Return the driver's library.

    Raises:
        OSError: it is not there under its name.
    """
    if sys.platform == "win32":
        return ctypes.WinDLL("nvcuda.dll")
    return ctypes.CDLL("libcuda.so.1")


def _first_gpu(driver: Any) -> Gpu | None:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(NAME_BYTES)
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, NAME_BYTES, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), CAPABILITY_MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), CAPABILITY_MINOR, device)
    )
    if failed:
        return None
    return Gpu(name.value.decode(errors="replace"), f"{major.value}.{minor.value}")
