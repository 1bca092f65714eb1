"""Errors of edgeexit, all subclasses of the runtime's :class:`EdgeExitError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from edgeexit_runtime.errors import BackendError as BackendError  # re-exported
from edgeexit_runtime.errors import BundleError as BundleError
from edgeexit_runtime.errors import BusyError as BusyError
from edgeexit_runtime.errors import EdgeExitError as EdgeExitError
from edgeexit_runtime.errors import InputError as InputError


class SpecError(EdgeExitError):
    """The requested network cannot be built, for example because a branch does not fit."""

    exit_code = 2


def did_you_mean(name: str, known: Sequence[str], otherwise: str) -> str:
    """Return a question with the ``known`` names that are close to ``name``, or ``otherwise``."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else otherwise


class UnknownNameError(EdgeExitError):
    """A name that is not registered; the message suggests close matches."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        hint = did_you_mean(name, known, f"known: {', '.join(known)}")
        super().__init__(f"unknown {kind} {name!r}: {hint}")


class CheckpointError(EdgeExitError):
    """A checkpoint is missing, truncated, of a newer format, or not one of edgeexit's."""


class DataError(EdgeExitError):
    """A data set is missing, empty, or not in its expected format."""


class TrainingError(EdgeExitError):
    """Training cannot start or continue, for example because its run folder is in use."""


class TuningError(EdgeExitError):
    """No thresholds meet the requested limits; the message gives the nearest."""


class ExportError(EdgeExitError):
    """A bundle could not be written, or its outputs differ from its checkpoint's."""


class WriteError(EdgeExitError):
    """A file could not be written; an existing file is left unchanged."""


@contextmanager
def prefixed(text: str, kind: type[EdgeExitError]) -> Iterator[None]:
    """Put ``text`` before the message of an error of that kind: what it is an error of."""
    try:
        yield
    except kind as error:
        raise kind(f"{text}{error}") from error


def check_fields(record: object, rules: Mapping[str, tuple[bool, str]]) -> None:
    """Raise one ValueError that names every field of ``record`` that breaks its rule.

    Args:
        record: the object whose fields are checked.
        rules: for each field, whether its value is valid, and the expected value in words.
    """
    broken = [
        f"{name}: expected {expected}, got {getattr(record, name)!r}"
        for name, (fits, expected) in rules.items()
        if not fits
    ]
    if broken:
        raise ValueError("; ".join(broken))
