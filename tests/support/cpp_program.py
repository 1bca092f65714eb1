"""Builds runtime/cpp from what is installed, once a run, without a network."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime import Manifest, Predictions
from numpy.typing import NDArray

__all__ = ["Program", "engines_here", "program_in"]

SOURCE = Path(__file__).parents[2] / "runtime" / "cpp"
HEADERS = "ONNXRUNTIME_INCLUDE_DIR"  # in the environment, as the wheel has the library alone


def installed(module: str) -> Path | None:
    """Return the folder of a package, without importing it."""
    spec = importlib.util.find_spec(module)
    return Path(spec.submodule_search_locations[0]) if spec is not None else None


def engines_here() -> list[str]:
    """Return the engines that can be compiled here."""
    has_headers = bool(os.environ.get(HEADERS)) and installed("onnxruntime") is not None
    return ["openvino"] * (installed("openvino") is not None) + ["onnxruntime"] * has_headers


class Program:
    """``edgeexit_classify``, built."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
        arguments = [self.path, folder, *options]
        return subprocess.run(
            [str(argument) for argument in arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def classify(
        self, folder: Path, manifest: Manifest, frames: NDArray[np.uint8], *options: object
    ) -> Predictions:
        """Return its answers to frames (N, H, W, C)."""
        file = folder.parent / "frames.raw"
        file.write_bytes(frames.tobytes())
        result = self.run(folder, file, "--threads", 1, *options)
        assert result.returncode == 0, result.stderr
        rows = [line.split() for line in result.stdout.splitlines()]
        assert len(rows) == len(frames)
        return Predictions(
            np.array([int(label) for label, _, _ in rows]),
            np.array([float(confidence) for _, _, confidence in rows], np.float32),
            np.array([manifest.exit_names.index(name) for _, name, _ in rows]),
        )


def program_in(folders: pytest.TempPathFactory) -> Program:
    """Build the program in a folder that all processes of a run share, or skip the test."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    openvino, json = installed("openvino"), installed("nlohmann_json")
    if openvino is None:
        pytest.skip("openvino, whose wheel has the headers, is not installed")
    if json is None and not Path("/usr/include/nlohmann/json.hpp").exists():
        pytest.skip("JSON for C++ is not installed: pip install nlohmann-json")
    if not Path("/usr/include/openssl/evp.h").exists():
        pytest.skip("OpenSSL's headers are not installed: apt install libssl-dev")
    base = folders.getbasetemp()
    build = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cpp_build"
    options = [
        f"-DOpenVINO_DIR={openvino / 'cmake'}",
        "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
        "-DCMAKE_CXX_FLAGS=-Werror",
    ]
    if json is not None:
        options.append(f"-DNLOHMANN_JSON_INCLUDE_DIR={json / 'include'}")
    build.mkdir(exist_ok=True)
    with (build / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if "onnxruntime" in engines_here():
            options += [
                "-DEDGEEXIT_ONNXRUNTIME=ON",
                f"-DONNXRUNTIME_INCLUDE_DIR={os.environ[HEADERS]}",
                f"-DONNXRUNTIME_LIBRARY={library_under_its_name(build)}",
            ]
        run(["cmake", "-S", SOURCE, "-B", build, *options])
        run(["cmake", "--build", build])
    return Program(build / "edgeexit_classify")


def library_under_its_name(build: Path) -> Path:
    """Return a link to the wheel's library, which lacks the name that programs look for."""
    package = installed("onnxruntime")
    assert package is not None
    (library,) = (package / "capi").glob("libonnxruntime.so.*.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        if not (build / name).exists():
            (build / name).symlink_to(library)
    return build / "libonnxruntime.so"


def run(command: Sequence[object]) -> None:
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, f"{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
