"""Every error that edgeexit raises on purpose.

Each message is one line: what was expected, what was got, what to do. The command line prints it
on stderr and leaves with ``exit_code``; it never shows a traceback for one of these.
"""

from __future__ import annotations

MESSAGE_CHARACTERS = 400


def printable(text: str, limit: int | None = None) -> str:
    """Return ``text`` as one line that any terminal shows as it is.

    Line breaks, control characters, terminals' escape sequences, marks that turn the direction of
    writing and halves of surrogate pairs are written as Python escapes them: ``\\x1b``.

    Args:
        text: of whatever origin.
        limit: characters at most; what is longer loses its middle. None for any number.
    """
    text = _cut(text, limit)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escaped(c) for c in text)
    return _cut(text, limit)


def _cut(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    end = limit // 2  # the beginning says where it is, the end what to do
    return f"{text[: limit - end - 3]}...{text[-end:]}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class EdgeExitError(Exception):
    """Base of all errors that are the answer to something the caller can put right.

    Args:
        message: it becomes one printable line of at most :data:`MESSAGE_CHARACTERS`: parts of it
            may come from files that nobody has looked at.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message, MESSAGE_CHARACTERS))


class BundleError(EdgeExitError):
    """A bundle folder is incomplete, changed, foreign, or of a newer schema."""


class InputError(EdgeExitError):
    """An argument of a call does not fit the bundle: images, thresholds, options."""


class BackendError(EdgeExitError):
    """What should run a bundle, or read an image, is not there, cannot be made, or fails."""


class DeviceLostError(BackendError):
    """The device refuses this process everything from now on; a new process may use it again."""


class ImageError(InputError):
    """A file is no image, is damaged, or so large or long that it may be meant to do harm."""


class BusyError(EdgeExitError):
    """Another process is writing what this one would write."""
