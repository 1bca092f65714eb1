"""What a machine says of itself."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
from edgeexit_runtime.system.machine import cores_available, cpu_model, l4t_version, this_platform


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64", "36.4.3"),
        ("# R35 (release), REVISION: 6.0, GCID: 37391689\nmore", "35.6.0"),
        ("something else", None),
        (None, None),
    ],
)
def test_version_of_a_jetson_s_system(
    tmp_path: Path, text: str | None, version: str | None
) -> None:
    release = tmp_path / "nv_tegra_release"
    if text is not None:
        release.write_text(text)
    assert l4t_version(release) == version


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "aarch64", "linux-aarch64"),
        ("linux", "x86_64", "linux-x86_64"),
        ("win32", "AMD64", "win32-x86_64"),
    ],
)
def test_platform(system: str, machine: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert this_platform() == name


def test_cpu_model_from_cpuinfo_or_the_board(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    board.write_bytes(b"NVIDIA Jetson Orin Nano\0")
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC\n")
    assert cpu_model(cpuinfo, board) == "AMD EPYC"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 62.50\n")  # as ARM writes it
    assert cpu_model(cpuinfo, board) == "NVIDIA Jetson Orin Nano"
    assert cpu_model(tmp_path / "none", tmp_path / "none") != ""
    assert cores_available() >= 1
