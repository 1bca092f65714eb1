"""Standard streams that cannot take what a command prints: see also the runtime's test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from PIL import Image

from edgeexit.cli import main

FULL = "Error: could not write the output: No space left on device; free space or send it elsewhere"


def run(redirected: str, *arguments: str) -> tuple[int, str, str]:
    """Run the command line under a shell's redirections; return its status and what it wrote."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    result = subprocess.run(
        ["sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-m", "edgeexit", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("models", "--json")])
@pytest.mark.parametrize(
    ("redirected", "expected"), [(">/dev/full", (1, "", f"{FULL}\n")), (">&-", (0, "", ""))]
)
def test_output_that_goes_nowhere(
    arguments: tuple[str, ...], redirected: str, expected: tuple[int, str, str]
) -> None:
    assert run(redirected, *arguments) == expected


@pytest.mark.parametrize(("redirected", "code"), [("2>/dev/full", 1), ("2>&-", 2)])
def test_errors_that_go_nowhere(redirected: str, code: int) -> None:
    assert run(redirected, "flop") == (code, "", "")


def test_a_table_whose_reader_has_gone() -> None:
    code, out, err = run("| head -c 1 >/dev/null", "flops", "resnet20", "--branches", "3+1")
    assert (code, out, err) == (0, "", "")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_tables_in_any_encoding(encoding: str) -> None:
    result = CliRunner(charset=encoding).invoke(main, ["flops", "resnet20", "--branches", "3+1"])
    assert result.exit_code == 0, result.stderr
    assert "stage1" in result.stdout_bytes.decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_class_names_in_any_encoding(
    encoding: str, tiny_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    bundle, image = tiny_bundle(tmp_path / "bundle"), tmp_path / "image.png"
    file = bundle / MANIFEST_NAME
    manifest = json.loads(file.read_text())
    manifest["class_names"] = [f"Käse {number} 日本" for number in range(10)]
    file.write_text(json.dumps(manifest))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    predict = ["predict", "--engine-dir", str(bundle), str(image)]
    result = CliRunner(charset=encoding).invoke(main, predict)
    assert result.exit_code == 0, result.stderr
    # click takes ASCII for a mistake in the settings, and writes UTF-8
    assert "Käse" in result.stdout_bytes.decode(encoding if encoding != "ascii" else "utf-8")
    result = CliRunner(charset=encoding).invoke(main, [*predict, "--json"])
    assert json.loads(result.stdout_bytes.decode(encoding))["label"] in manifest["class_names"]
