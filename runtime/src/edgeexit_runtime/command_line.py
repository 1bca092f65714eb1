"""Standard streams and system errors of a command-line program."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgeexit_runtime.errors import MESSAGE_CHARACTERS, printable

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Run a command with any kind of standard streams, and report system errors in one line.

    Characters that a stream's encoding lacks are written as Python escapes; output to a closed
    stream is dropped. If the system fails to read or write, the command exits with status 1 and one
    line on stderr; if the reader of a pipe has gone, without the line.

    Raises:
        SystemExit: the command's own, or with that status.
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
    """Redirect closed streams to the null device, so that no file gets their descriptors."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def _drop_unwritable() -> None:
    """Redirect unwritable streams to the null device; else the interpreter's exit fails."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, stream.fileno())
            os.close(devnull)


def _line(error: Exception) -> str | None:
    """Return what failed and what to do, in one line; None if it is not a system error."""
    if not isinstance(error, OSError):
        text = str(error)  # from os (after its function's name since Python 3.13) or pathlib
        path_error = "embedded null" in text or text.startswith("Symlink loop")
        return f"{text}; check the paths" if path_error else None
    if error.strerror is None:  # such as a download's
        return None
    name = error.filename  # or the number of an open file
    if name is not None:
        path = os.fsdecode(name) if isinstance(name, bytes) else name
        advice = "check this path"
        if error.errno in NO_ROOM:
            advice = "make room there, or set TMPDIR if it is a temporary file"
        return f"{path}: {error.strerror}; {advice}"
    # an error of an open stream or file
    return f"could not write the output: {error.strerror}; free space or send it elsewhere"
