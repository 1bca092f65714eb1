"""A run of the tests that need a GPU in which nothing was tested has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = "def test_one():\n    pytest.skip('no such device')\n"
PASSED = "def test_two():\n    pass\n"


@pytest.mark.parametrize(
    ("tests", "code"), [(SKIPPED, 1), (PASSED, 0), (SKIPPED + PASSED, 0), (2 * SKIPPED, 1)]
)
def test_a_run_in_which_all_were_skipped_fails(tmp_path: Path, tests: str, code: int) -> None:
    head = "import pytest\npytestmark = pytest.mark.gpu\n"
    Path(tmp_path, "test_it.py").write_text(head + tests)
    Path(tmp_path, "pytest.ini").write_text("[pytest]\nmarkers =\n    gpu: needs a CUDA device\n")
    folder = Path(__file__).parent / "gpu"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert ("all were skipped" in result.stderr) == (code == 1)
