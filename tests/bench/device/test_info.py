"""Which machine a benchmark ran on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edgeexit_runtime.backends.base import NVIDIA, Hardware

from edgeexit.bench.device.info import cores_available, cpu_model, device_info


def test_cpu_model_from_cpuinfo_or_the_board(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    board.write_bytes(b"NVIDIA Jetson Orin Nano\0")
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC\n")
    assert cpu_model(cpuinfo, board) == "AMD EPYC"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 62.50\n")  # as ARM writes it
    assert cpu_model(cpuinfo, board) == "NVIDIA Jetson Orin Nano"
    assert cpu_model(tmp_path / "none", tmp_path / "none") != ""
    assert cores_available() >= 1


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
