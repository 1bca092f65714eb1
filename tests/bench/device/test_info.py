"""Which machine a benchmark ran on."""

from __future__ import annotations

from pathlib import Path

import pytest
from edgeexit_runtime.backends.cuda_device import Gpu

from edgeexit.bench.device import info
from edgeexit.bench.device.info import cores_available, cpu_model


def test_cpu_model_from_cpuinfo_or_the_board(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    board.write_bytes(b"NVIDIA Jetson Orin Nano\0")
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC\n")
    assert cpu_model(cpuinfo, board) == "AMD EPYC"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 62.50\n")  # as ARM writes it
    assert cpu_model(cpuinfo, board) == "NVIDIA Jetson Orin Nano"
    assert cpu_model(tmp_path / "none", tmp_path / "none") != ""
    assert cores_available() >= 1


def test_a_gpu_provider_is_named_with_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "find_gpu", lambda: Gpu("NVIDIA H200", "9.0"))
    assert info._named("CUDAExecutionProvider") == "CUDAExecutionProvider on NVIDIA H200"
    assert info._named("CPUExecutionProvider") == "CPUExecutionProvider"
