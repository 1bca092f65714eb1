"""Code of the user's own, such as a model's ``forward``: what it raises, told in one line."""

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
"""What code of the user's own may raise; Ctrl-C is the user's, and passes."""

OTHERS = (Path(torch.__file__).parent, Path(__file__).parent)
OTHER_FILES = (Path(importlib.__file__), Path(contextlib.__file__))


@contextmanager
def explained(what: str, advice: str = "") -> Iterator[None]:
    """Run code of the user's own in the block.

    Args:
        what: it was to do, as the message begins: ``importing my_models raised``.
        advice: ends the message.

    Raises:
        SpecError: it raised anything, or called ``sys.exit``.
    """
    try:
        yield
    except SpecError:
        raise
    except RAISED as error:
        raise SpecError(f"{what} {failure(error)}{advice}") from error


def failure(error: BaseException) -> str:
    """Return an exception's kind and first line, and the last line of the user's that it left."""
    try:
        text = str(error)
    except Exception:  # exceptions are the user's, too
        text = ""
    first = " ".join(text.strip().partition("\n")[0].split())
    kind = f"{type(error).__name__}: {first}" if first else type(error).__name__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_file() and file not in OTHER_FILES and not set(OTHERS) & set(file.parents):
            return f"{kind} ({file.name}:{frame.lineno} `{frame.line}`)"
    return kind
