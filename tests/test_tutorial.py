"""The tutorial: every command and every program of it, in an empty folder, one after the other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs/tutorial.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)
QUICK = {"--epochs 8": "--epochs 3", "edgeexit bench": "edgeexit bench --duration 1"}


@pytest.mark.slow
def test_every_step_runs(tmp_path: Path) -> None:
    steps = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    commands = [text for kind, text in steps if kind == "sh"]
    assert commands[0].startswith("pip install"), "which is how this environment was made"
    assert len(steps) == 8
    for kind, text in steps[1:]:
        output = run(kind, text, tmp_path)
    labels = [line.split()[0] for line in output.splitlines()]
    assert len(labels) == 2, "the app answers both images"
    assert set(labels) <= set("0123456789")
    assert (tmp_path / "report.html").is_file()


def run(kind: str, text: str, folder: Path) -> str:
    for word, quicker in QUICK.items():
        text = text.replace(word, quicker)
    if kind == "python":
        words = [sys.executable, "-c", text]
    else:
        program = f"{sys.executable} -m edgeexit"
        words = ["bash", "-ec", re.sub(r"^edgeexit", program, text, flags=re.M)]
    result = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, f"{text}\n{result.stderr}"
    return result.stdout
