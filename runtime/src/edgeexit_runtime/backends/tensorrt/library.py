"""TensorRT or TensorRT-RTX: which one is installed, and how to install the other."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.base import is_installed
from edgeexit_runtime.backends.cuda.device import find_gpu
from edgeexit_runtime.errors import BackendError, InputError

AUTO = "auto"
TENSORRT = "tensorrt"
RTX = "tensorrt-rtx"

PORTABLE_CAPABILITIES = ("8.6", "8.9", "12.0")
"""Compute capabilities that one default engine of TensorRT-RTX runs on, by its support matrix.

An engine for another one, such as 7.5, runs on that one only. TensorRT-RTX 1.7 lists neither 8.7
(Orin) nor 9.0 (H100); on an H200 it refuses to run.
"""
PORTABLE = ", ".join(PORTABLE_CAPABILITIES)


@dataclass(frozen=True, slots=True)
class Library:
    """A library that builds and runs engines: its Python module, and how to install it."""

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

    ``auto`` is TensorRT if it is installed, there is a GPU, and no ``compute_capability`` is
    given; else TensorRT-RTX.

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
    if compute_capability is None and is_installed(tensorrt.module) and find_gpu() is not None:
        return tensorrt
    for library in (rtx, tensorrt):
        if is_installed(library.module):
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
                f"{library.title} is installed but incomplete: {error.name} is missing; install it "
                "again"
            ) from error
        raise BackendError(f"{library.title} is not installed: {library.install}") from error
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise BackendError(
            f"{library.title} is installed but does not start: {reason}; install it again"
        ) from error
