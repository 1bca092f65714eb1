"""A bundle folder -> a session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeexit_runtime.backends import AUTO, open_runner
from edgeexit_runtime.backends.base import Backend, LoadOptions
from edgeexit_runtime.backends.target_warnings import warn_of_target
from edgeexit_runtime.bundle.folder import Bundle, baseline_bundle, open_bundle, read_settled
from edgeexit_runtime.errors import InputError
from edgeexit_runtime.session import Session


def load(
    bundle: str | Path,
    *,
    backend: str | Backend = AUTO,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    device: str | None = None,
) -> Session:
    """Load a bundle that ``edgeexit export`` wrote; the new one if it is replaced meanwhile.

    Args:
        bundle: its folder.
        backend: ``auto`` or a name of :data:`edgeexit_runtime.backends.BACKENDS`; ``auto`` is the
            first of them that accepts the other options and can run this bundle here. Or a backend
            object, such as ``TensorRTBackend(TensorRTOptions(poll_us=50))``.
        providers: ONNX Runtime's execution providers, such as ``["CUDAExecutionProvider"]``;
            None selects the GPU if there is one, else the CPU.
        threads: threads per graph on the CPU; None leaves the choice to the backend.
        device: where to run: ``cpu`` or ``cuda``, or another that the backend has; None leaves
            the choice to the backend.

    Raises:
        InputError: an option is out of range, or the backend does not have it.
        BundleError: the folder holds no bundle, or it was changed after the export.
        BackendError: the software that should run it is missing or cannot.
    """
    options = LoadOptions(providers, threads, device)
    return read_settled(bundle, lambda: _open(open_bundle(bundle), backend, options))


def load_baseline(
    bundle: str | Path,
    *,
    backend: str | Backend = AUTO,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    device: str | None = None,
) -> Session:
    """Load a bundle's plain backbone as one graph, to compare with; otherwise as :func:`load`."""
    options = LoadOptions(providers, threads, device)
    return read_settled(
        bundle, lambda: _open(baseline_bundle(open_bundle(bundle)), backend, options)
    )


def _open(bundle: Bundle, backend: str | Backend, options: LoadOptions) -> Session:
    threads = options.threads
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads: expected a whole number above 0, got {threads!r}")
    runner = open_runner(backend, bundle, options)
    warn_of_target(bundle, runner)
    return Session(bundle.manifest, runner)
