"""Every error that edgeexit raises on purpose.

Each message is one line: what was expected, what was got, what to do. The command line prints it
on stderr and leaves with ``exit_code``; it never shows a traceback for one of these.
"""

from __future__ import annotations

__all__ = ["BackendError", "BundleError", "EdgeExitError", "ImageError", "InputError"]


class EdgeExitError(Exception):
    """Base of all errors that are the answer to something the caller can put right."""

    exit_code = 1


class BundleError(EdgeExitError):
    """A bundle folder is incomplete, changed, foreign, or of a newer schema."""


class InputError(EdgeExitError):
    """An argument of a call does not fit the bundle: images, thresholds, options."""


class BackendError(EdgeExitError):
    """The engine that should execute a bundle, or read an image, is not there or cannot be made."""


class ImageError(InputError):
    """A file is no image, is damaged, or so large or long that it may be meant to do harm."""
