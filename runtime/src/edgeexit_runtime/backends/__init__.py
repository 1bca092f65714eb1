"""Backends, which run the graphs of a bundle; an engine is imported when it is chosen.

A new backend is a :class:`~edgeexit_runtime.backends.base.Backend` and its
:class:`~edgeexit_runtime.backends.base.Runner` in a package of their own, and an entry here.
"""

from __future__ import annotations

import logging

from edgeexit_runtime.backends.base import Backend, LoadOptions, Runner
from edgeexit_runtime.backends.onnxruntime.backend import OnnxRuntimeBackend
from edgeexit_runtime.backends.openvino.backend import OpenVinoBackend
from edgeexit_runtime.backends.tensorrt.backend import TensorRTBackend
from edgeexit_runtime.backends.tensorrt.options import TensorRTOptions
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.errors import BackendError, InputError

__all__ = [
    "AUTO",
    "BACKENDS",
    "TensorRTBackend",
    "TensorRTOptions",
    "choose_backend",
    "install_hint",
    "open_runner",
]

AUTO = "auto"

logger = logging.getLogger(__name__)

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (TensorRTBackend(), OnnxRuntimeBackend(), OpenVinoBackend())
}
"""The backends by name, in the order in which ``auto`` tries them."""


def open_runner(name: str | Backend, bundle: Bundle, options: LoadOptions) -> Runner:
    """Open a bundle with a backend, given as an object, by name, or as :data:`AUTO`.

    Raises:
        InputError: there is no such backend, or it does not accept these options.
        BackendError: its engine is not installed, or does not start.
        BundleError: a file of the bundle is missing or changed.
    """
    if isinstance(name, Backend):
        backend = name
    elif name == AUTO:
        backend = choose_backend(bundle, options)
    elif name in BACKENDS:
        backend = BACKENDS[name]
    else:
        raise InputError(f"backend: expected one of {', '.join((AUTO, *BACKENDS))}, got {name!r}")
    backend.check(options)
    return backend.open(bundle, options)


def choose_backend(bundle: Bundle, options: LoadOptions) -> Backend:
    """Return the first of :data:`BACKENDS` that accepts the options and can run the bundle here.

    A warning is logged if the bundle was prepared for an earlier one that only has to be installed.

    Raises:
        InputError: no backend accepts the options.
        BackendError: no backend can run the bundle.
    """
    able = [backend for backend in BACKENDS.values() if backend.takes(options)]
    if not able:
        devices = dict.fromkeys(name for backend in BACKENDS.values() for name in backend.devices)
        raise InputError(
            f"no backend takes these options together ({options}); devices are {', '.join(devices)}"
        )
    reasons = []
    for backend in able:
        why_not = backend.why_not(bundle)
        if why_not is None:
            return backend
        if why_not.is_surprising:
            logger.warning("%s: %s is not used: %s", bundle.folder, backend.name, why_not.reason)
        reasons.append(f"{backend.name}: {why_not.reason}")
    raise BackendError(f"no backend can run it here; {'; '.join(reasons)}")


def install_hint(module: str) -> str | None:
    """Return how to install the backend that needs a module; None if none needs it."""
    hints = (backend.install for backend in BACKENDS.values() if module in backend.modules)
    return next(hints, None)
