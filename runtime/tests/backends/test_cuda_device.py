"""The GPU that the driver tells of, or none."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from edgeexit_runtime.backends.cuda import device as cuda_device
from edgeexit_runtime.backends.cuda.device import Gpu, find_gpu


class Driver:
    """A libcuda that fails in one of its functions, if any."""

    def __init__(self, fails: str = "") -> None:
        self._fails = fails

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return int(self._fails == "cuInit")

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        device._obj.value = 3
        return int(self._fails == "cuDeviceGet")

    def cuDeviceGetName(self, name: Any, size: int, device: ctypes.c_int) -> int:  # noqa: N802
        assert device.value == 3
        assert size == len(name)
        name.value = b"Orin"
        return int(self._fails == "cuDeviceGetName")

    def cuDeviceTotalMem_v2(self, size: Any, device: Any) -> int:  # noqa: N802
        size._obj.value = int(7.4 * 2**30)  # of 8; the system keeps the rest
        return int(self._fails == "cuDeviceTotalMem_v2")

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {16: 8, 75: 8, 76: 7}[attribute]
        return int(self._fails == "cuDeviceGetAttribute")


def test_name_and_compute_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_device, "load_driver", Driver)
    assert find_gpu() == Gpu("Orin", "8.7", multiprocessors=8, memory_gib=8)


@pytest.mark.parametrize(
    "function",
    ["cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute"],
)
def test_driver_without_a_gpu(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_device, "load_driver", lambda: Driver(function))
    assert find_gpu() is None


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(cuda_device, "load_driver", fail)
    assert find_gpu() is None
