"""TensorRT or TensorRT-RTX: which of them is here, and how it is installed where it is not."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.cuda.device import find_gpu
from edgeexit_runtime.errors import BackendError, InputError

AUTO = "auto"
TENSORRT = "tensorrt"
RTX = "tensorrt-rtx"

PORTABLE_CAPABILITIES = ("8.6", "8.9", "12.0")
"""Compute capabilities of the GPUs on which one engine of TensorRT-RTX runs, by its support matrix.

Engines for others, such as 7.5, are built for these alone. 8.7 (Orin) and 9.0 (H100) are in no
list of TensorRT-RTX 1.7's; on an H200 it refuses to run.
"""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that builds and runs engines: its Python module, and how it is installed."""

    name: str
    title: str
    module: str
    oldest: tuple[int, int]
    install: str


LIBRARIES = {
    library.name: library
    for library in (
        Library(
            TENSORRT,
            "TensorRT",
            "tensorrt",
            (10, 3),
            "pip install tensorrt, or on a Jetson JetPack's python3-libnvinfer",
        ),
        Library(
            RTX,
            "TensorRT-RTX",
            "tensorrt_rtx",
            (1, 0),
            "pip install tensorrt-rtx",
        ),
    )
}
"""The libraries by name."""


def find_library(name: str = AUTO, compute_capability: str | None = None) -> Library:
    """Return a library by name, or with ``auto`` the one that can build here.

    That is TensorRT where it and a GPU are there and no other ``compute_capability`` is asked
    for, else TensorRT-RTX.

    Raises:
        InputError: there is no such library.
        BackendError: ``auto``, and none is installed.
    """
    tensorrt, rtx = LIBRARIES[TENSORRT], LIBRARIES[RTX]
    if name != AUTO:
        if name not in LIBRARIES:
            known = ", ".join((AUTO, *LIBRARIES))
            raise InputError(f"library: expected one of {known}, got {name!r}")
        return LIBRARIES[name]
    if compute_capability is None and is_installed(TENSORRT) and find_gpu() is not None:
        return tensorrt
    for library in (rtx, tensorrt):
        if is_installed(library.name):
            return library
    raise BackendError(
        f"neither TensorRT nor TensorRT-RTX is installed: {tensorrt.install}; to build without a "
        f"GPU, {rtx.install}"
    )


def import_library(library: Library) -> Any:
    """Import a library's module.

    Raises:
        BackendError: it is not installed, or does not start.
    """
    try:
        return importlib.import_module(library.module)
    except ModuleNotFoundError as error:
        if error.name != library.module:
            raise BackendError(
                f"{library.title} is installed but not whole: {error.name} is missing; install it "
                "again"
            ) from error
        raise BackendError(f"{library.title} is not installed: {library.install}") from error
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise BackendError(
            f"{library.title} is installed but does not start: {reason}; install it again"
        ) from error


def is_installed(name: str) -> bool:
    """Whether a library is there; it is not imported."""
    return importlib.util.find_spec(LIBRARIES[name].module) is not None
