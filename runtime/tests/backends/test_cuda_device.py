"""The GPU that the driver tells of, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from edgeexit_runtime.backends.cuda.device import Gpu, find_gpu
from support.hardware import ORIN, place_gpu


@pytest.mark.parametrize("gpu", [ORIN, replace(ORIN, multiprocessors=16, memory_gib=64)])
def test_what_the_driver_tells_of_a_gpu(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    place_gpu(monkeypatch, gpu)
    assert find_gpu() == gpu


@pytest.mark.parametrize(
    "function",
    ["cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem_v2", "cuDeviceGetAttribute"],
)
def test_driver_without_a_gpu(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place_gpu(monkeypatch, ORIN, fails=function)
    assert find_gpu() is None


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    place_gpu(monkeypatch, None)
    assert find_gpu() is None
