"""Report exceptions of the user's code, such as a model's ``forward``, in one line."""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from edgeexit.errors import SpecError

RAISED = (Exception, SystemExit)
"""Exceptions of the user's code that are reported; Ctrl-C is not caught."""

OTHERS = (Path(torch.__file__).parent, Path(__file__).parent)
OTHER_FILES = (Path(importlib.__file__), Path(contextlib.__file__))


@contextmanager
def explained(what: str, advice: str = "") -> Iterator[None]:
    """Report exceptions of the user's code in the block as SpecError.

    Args:
        what: the beginning of the message: ``importing my_models raised``.
        advice: the end of the message.

    Raises:
        SpecError: the code raised any exception, or called ``sys.exit``.
    """
    try:
        yield
    except SpecError:
        raise
    except RAISED as error:
        raise SpecError(f"{what} {failure(error)}{advice}") from error


def failure(error: BaseException) -> str:
    """Return an exception's type and first line, and the innermost line of the user's code."""
    try:
        text = str(error)
    except Exception:  # the exception may be the user's own class
        text = ""
    first = " ".join(text.strip().partition("\n")[0].split())
    kind = f"{type(error).__name__}: {first}" if first else type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_file() and file not in OTHER_FILES and not set(OTHERS) & set(file.parents):
            return f"{kind} ({file.name}:{frame.lineno} `{frame.line}`)"
    return kind
