"""What is released: two wheels that hold what they need, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from edgeexit_runtime.version import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "edgeexit": ROOT / "edgeexit",
    "edgeexit_runtime": ROOT / "runtime/src/edgeexit_runtime",
}
IMPORT = "import edgeexit, edgeexit_runtime; print(edgeexit, edgeexit_runtime)"
# Docstrings and comments are a quarter; without them, which nobody wants to miss in help() or in a
# traceback, it would be 150 kB still. numpy, which it comes with, is eighty times as large.
MAX_RUNTIME_BYTES = 210_000


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels by package; built by what is installed, without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    for source in (ROOT / "runtime", ROOT):
        pip(*("wheel", "--no-deps", "--no-build-isolation", "-w", folder, source))
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def site(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that both wheels are installed in."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--target", folder, *wheels.values())
    return folder


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, arguments)], check=True, cwd="/", timeout=300)


def run(site: Path, cwd: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *command],
        check=True,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    ).stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_its_package_and_nothing_else(package: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[package]) as archive:
        held = {name for name in archive.namelist() if f"{package}-" not in name}
        about = {name.partition("/")[2] for name in archive.namelist()} - held
    top = PACKAGES[package]
    wanted = {
        f"{package}/{path.relative_to(top).as_posix()}"
        for path in top.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert f"{package}/py.typed" in held
    assert {"METADATA", "licenses/LICENSE"} <= about


def test_the_runtime_is_small(wheels: dict[str, Path]) -> None:
    assert wheels["edgeexit_runtime"].stat().st_size <= MAX_RUNTIME_BYTES


def test_one_version(wheels: dict[str, Path]) -> None:
    assert {path.name.split("-")[1] for path in wheels.values()} == {__version__}
    with zipfile.ZipFile(wheels["edgeexit"]) as archive:
        metadata = archive.read(f"edgeexit-{__version__}.dist-info/METADATA").decode()
    (wanted,) = re.findall(r"Requires-Dist: edgeexit-runtime~=(.*)", metadata)
    assert wanted.split(".")[:2] == __version__.split(".")[:2], "the runtime of this version"
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_they_run_where_the_repository_is_not(site: Path, tmp_path: Path) -> None:
    modules = run(site, tmp_path, "-c", IMPORT)
    assert modules.count(str(site)) == 2
    assert __version__ in run(site, tmp_path, "-m", "edgeexit", "--version")
    assert "--engine-dir" in run(site, tmp_path, "-m", "edgeexit", "bench", "--help")
    assert "usage" in run(site, tmp_path, "-m", "edgeexit_runtime", "--help").lower()
