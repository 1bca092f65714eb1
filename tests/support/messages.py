"""What a message has to say: numbers, names and what to do, in whatever words."""

from __future__ import annotations


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
