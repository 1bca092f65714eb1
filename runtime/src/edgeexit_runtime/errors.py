"""All errors that edgeexit raises on purpose.

Each message is one line: what was expected, what was got, what to do. The command line prints it
on stderr and exits with ``exit_code``; it never shows a traceback for one of these.
"""

from __future__ import annotations

MESSAGE_CHARACTERS = 1000
"""Most of a message, which may name a long path three times: the file, and commands to run."""


def printable(text: str, limit: int | None = None) -> str:
    """Return ``text`` as one line that is safe to show on any terminal.

    Line breaks, control characters, terminal escape sequences, bidirectional marks and lone
    surrogates are written as Python escapes: ``\\x1b``.

    Args:
        text: from any source.
        limit: maximum number of characters; longer text loses its middle. None for no limit.
    """
    text = _cut(text, limit)
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
        )
    return _cut(text, limit)


def _cut(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    end = limit // 2  # the beginning says where it is, the end what to do
    return f"{text[: limit - end - 3]}...{text[-end:]}"


class EdgeExitError(Exception):
    """Base of all errors that the caller can correct.

    Args:
        message: made one printable line of at most :data:`MESSAGE_CHARACTERS`, as parts of it
            may come from untrusted files.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message, MESSAGE_CHARACTERS))


class BundleError(EdgeExitError):
    """A bundle folder is incomplete, changed, foreign, or of a newer schema."""


class InputError(EdgeExitError):
    """An argument of a call does not fit the bundle: images, thresholds, options."""


class BackendError(EdgeExitError):
    """The software that runs a bundle or reads an image is missing, cannot be set up, or fails."""


class DeviceLostError(BackendError):
    """The device rejects every further call of this process; a new process may use it again."""


class ImageError(InputError):
    """A file is not an image, is damaged, or is so large or long that it may be malicious."""


class BusyError(EdgeExitError):
    """Another process is writing the files that this one would write."""
