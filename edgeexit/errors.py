"""Errors of edgeexit, all children of the runtime's :class:`EdgeExitError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from edgeexit_runtime.errors import BackendError as BackendError  # all named here, for who imports
from edgeexit_runtime.errors import BundleError as BundleError
from edgeexit_runtime.errors import BusyError as BusyError
from edgeexit_runtime.errors import EdgeExitError as EdgeExitError
from edgeexit_runtime.errors import InputError as InputError


class SpecError(EdgeExitError):
    """A network that was asked for cannot be built, such as branches that do not fit."""

    exit_code = 2


class UnknownNameError(EdgeExitError):
    """A name that no registry knows; the message offers the close matches."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        super().__init__(f"unknown {kind} {name!r}: {hint}")


class CheckpointError(EdgeExitError):
    """A checkpoint is missing, truncated, foreign, or of a newer format."""


class DataError(EdgeExitError):
    """A data set is missing, empty, or not in the format that its name promises."""


class TrainingError(EdgeExitError):
    """Training cannot start or go on, such as a run folder already in use."""


class TuningError(EdgeExitError):
    """No thresholds meet what was asked of them; the message gives the nearest."""


class ExportError(EdgeExitError):
    """A bundle could not be written, or does not agree with the checkpoint it came from."""


class WriteError(EdgeExitError):
    """A file could not be written; what stood there before is untouched."""


def check_fields(record: object, rules: Mapping[str, tuple[bool, str]]) -> None:
    """Raise ValueError that names every field of ``record`` that breaks its rule, all at once.

    Args:
        record: whose fields they are.
        rules: by field, whether its value fits, and what was expected.
    """
    broken = [
        f"{name}: expected {expected}, got {getattr(record, name)!r}"
        for name, (fits, expected) in rules.items()
        if not fits
    ]
    if broken:
        raise ValueError("; ".join(broken))
