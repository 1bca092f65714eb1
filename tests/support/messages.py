"""What a message has to say: numbers, names and what to do, in whatever words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


def missing(text: object, *facts: str) -> list[str]:
    """Return the facts that a message lacks, for ``assert not missing(...)`` to name them.

    A fact that comes before an earlier one in the message is missing, too.
    """
    rest = " ".join(str(text).split())
    lacking = []
    for fact in facts:
        if fact in rest:
            rest = rest[rest.index(fact) + len(fact) :]
        else:
            lacking.append(fact)
    return lacking


@contextmanager
def refused(kind: type[Exception], *facts: str) -> Iterator[None]:
    """An error of this kind comes, whose one line says these facts in this order."""
    with pytest.raises(kind) as caught:
        yield
    assert not missing(caught.value, *facts)
    assert "\n" not in str(caught.value)
