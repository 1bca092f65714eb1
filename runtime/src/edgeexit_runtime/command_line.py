"""What a command line does about its standard streams, and about what the system refuses."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgeexit_runtime.errors import MESSAGE_CHARACTERS, printable


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Run a command whose standard streams may be anything, and files anywhere.

    What a stream's encoding does not have is written as Python escapes it; what goes to a stream
    that is closed is dropped. Where the system refuses to read or write, the command ends with
    status 1 and one line on stderr; where the reader of a pipe has gone, without the line.

    Raises:
        SystemExit: the command's own, or of that status.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    except (OSError, ValueError, RuntimeError) as error:
        line = _line(error)
        if line is None:
            raise
        _drop_unwritable()
        if getattr(error, "errno", None) != errno.EPIPE:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"Error: {printable(line, MESSAGE_CHARACTERS)}\n")
                sys.stderr.flush()
        raise SystemExit(1) from error


def _open_closed() -> None:
    """Let streams that are closed drop what they get: files must not be opened in their places."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def _drop_unwritable() -> None:
    """Let a stream that cannot be written drop what is left, else the interpreter's end fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def _line(error: Exception) -> str | None:
    """Return what the system refuses and what to do; None where it is not the system's error."""
    if not isinstance(error, OSError):
        text = str(error)  # of os, behind its function from Python 3.13 on, or of pathlib
        path_error = "embedded null" in text or text.startswith("Symlink loop")
        return f"{text}; check the paths" if path_error else None
    if error.strerror is None:  # such as a download's
        return None
    name = error.filename  # or the number of an open file
    if name is not None:
        path = os.fsdecode(name) if isinstance(name, bytes) else name
        return f"{path}: {error.strerror}; check this path"
    # of a stream or file that was open
    return f"could not write the output: {error.strerror}; free space or send it elsewhere"
