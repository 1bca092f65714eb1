"""The kit for a machine with a GPU keeps its time and its word, without one."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

from gpu.kit import Step, run_step

KIT = Path(__file__).parent / "gpu" / "kit.py"


def kit(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(KIT), "-o", "report", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_report_is_one_file_after_every_step(tmp_path: Path) -> None:
    result = kit(tmp_path, "--only", "facts,state", "--seconds", "60")
    assert result.returncode == 0, result.stdout + result.stderr
    assert [line.partition(",")[0] for line in result.stdout.splitlines()] == [
        "facts: ok",
        "state: ok",
    ]
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        assert report.read("summary.txt").decode() == result.stdout
        log = report.read("log.txt").decode()
    assert log.index("######## facts: ") < log.index("######## state: ")
    assert "numpy" in log


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    result = kit(tmp_path, "--only", "facts", "--seconds", "60", "--spent", "56")
    assert result.returncode == 1
    assert result.stdout == "facts: not begun, no time left\n"


def test_a_step_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    command = ("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    begin = time.monotonic()
    line = run_step(Step("slow", command, 60), 1, tmp_path / "log.txt")
    assert time.monotonic() - begin < 30
    assert line.startswith("slow: OUT OF TIME, 1 s")
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in state(child):
            return
        time.sleep(0.05)
    raise AssertionError("it goes on")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_step_that_fails_is_said(tmp_path: Path) -> None:
    line = run_step(Step("wrong", ("sh", "-c", "exit 3"), 60), 60, tmp_path / "log.txt")
    assert line.startswith("wrong: FAILED (3), ")
    assert "######## wrong: sh -c exit 3" in (tmp_path / "log.txt").read_text()
