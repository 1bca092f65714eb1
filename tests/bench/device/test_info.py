"""Which machine a benchmark ran on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from edgeexit_runtime.backends.base import NVIDIA, Hardware

from edgeexit.bench.device.info import device_info


@pytest.mark.parametrize(
    ("device", "hardware", "named"),
    [
        ("CUDA", Hardware(NVIDIA, "NVIDIA H200"), "CUDA on NVIDIA H200"),
        ("cuda:0 Orin", Hardware(NVIDIA), "cuda:0 Orin"),
        ("CPU", Hardware(), "CPU"),
    ],
)
def test_a_device_is_named_with_its_hardware(device: str, hardware: Hardware, named: str) -> None:
    runner = SimpleNamespace(
        versions={"engine": "1.0"}, hardware=hardware, computed_in=lambda: "int8 7"
    )
    session: Any = SimpleNamespace(device=device, runner=runner, threads=2)
    told = device_info(session)
    assert (told.backend_device, told.threads) == (named, 2)
    assert told.versions["engine"] == "1.0"
    assert told.versions["layers computed in"] == "int8 7"
