"""Which backends to run a bundle on: the measured one, and others to compare with it.

The same backend with another number of threads counts as another backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeexit_runtime import EdgeExitError
from edgeexit_runtime.backends import AUTO, BACKENDS, choose_backend
from edgeexit_runtime.backends.base import LoadOptions
from edgeexit_runtime.bundle.folder import Bundle, open_bundle
from edgeexit_runtime.system.machine import cores_available

from edgeexit.bench.results.backends import BackendChoice, LeftOut
from edgeexit.bench.results.options import ALL, BenchOptions
from edgeexit.errors import InputError


@dataclass(frozen=True, slots=True)
class BackendPlan:
    """Which backends run.

    Attributes:
        measured: the one that everything is measured on.
        auto: the one that loading with ``auto`` selects; None if no backends are compared.
        others: backends to compare with it.
        left_out: backends that cannot run this bundle here.
    """

    measured: BackendChoice
    auto: str | None = None
    others: tuple[BackendChoice, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def plan_backends(engine_dir: str | Path, options: BenchOptions) -> BackendPlan:
    """Return the backends to run a bundle on; only ``backend`` if no others are requested.

    Otherwise the measured backend is the one named by ``backend``. For ``auto``, it is the one
    that loading selects if that is compared, else the first of the compared backends.

    Raises:
        InputError: a named backend does not support the options, or cannot run the bundle here.
        BackendError, BundleError: as for loading with ``auto``.
    """
    if not options.backends:
        return BackendPlan(BackendChoice(options.backend))
    bundle = open_bundle(engine_dir)
    chosen = LoadOptions(options.providers, options.threads, options.device)
    auto = choose_backend(bundle, chosen).name
    able, left_out = _able(bundle, chosen, options)
    measured = BackendChoice(auto if options.backend == AUTO else options.backend)
    if options.backend == AUTO and measured not in able:
        measured = able[0]
    others = tuple(choice for choice in able if choice != measured)
    return BackendPlan(measured, auto, others, left_out)


def _able(
    bundle: Bundle, chosen: LoadOptions, options: BenchOptions
) -> tuple[list[BackendChoice], tuple[LeftOut, ...]]:
    """Return the choices that can run the bundle, and the backends of ``all`` that cannot."""
    is_all = options.backends == (ALL,)
    choices = _all(chosen) if is_all else [BackendChoice.parse(it) for it in options.backends]
    able, left_out = [], {}
    for choice in choices:
        reason = _why_not(choice.backend, bundle, chosen)
        if reason is None:
            able.append(choice)
        elif is_all and choice.backend != options.backend:
            left_out[choice.backend] = LeftOut(choice.backend, reason)
        else:
            raise InputError(f"backends: expected those that run this bundle here, got {reason}")
    return able, tuple(left_out.values())


def _all(options: LoadOptions) -> list[BackendChoice]:
    """Return every backend, plus a single-threaded choice of those that may use several threads."""
    device = options.device or "cpu"
    may_thread = options.threads is None and device.lower() == "cpu" and cores_available() > 1
    threaded = {name for name in BACKENDS if may_thread and BACKENDS[name].has_device(device)}
    return [
        BackendChoice(name, threads)
        for name in BACKENDS
        for threads in ((None, 1) if name in threaded else (None,))
    ]


def _why_not(name: str, bundle: Bundle, options: LoadOptions) -> str | None:
    """Return why a backend cannot run a bundle with these options; None if it can."""
    try:
        BACKENDS[name].check(options)
    except EdgeExitError as error:
        return str(error)
    why_not = BACKENDS[name].why_not(bundle)
    return None if why_not is None else f"{name}: {why_not.reason}"
