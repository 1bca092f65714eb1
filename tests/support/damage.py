"""Damage as hypothesis strategies: to bytes, and to values in lists and dicts."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

MOST_EDITS = 3

Make = Callable[[Any], Any]
"""Makes what is put into a value's place of that value."""


def constants(*values: Any) -> list[Make]:
    """Put these values in a value's place, whatever that is."""
    return [lambda old, value=value: value for value in values]


def damaged_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes changed, lost, put between, repeated elsewhere, or cut off."""
    places = st.integers(0, len(content))
    lengths = st.one_of(st.integers(0, 16), places)
    edits = st.one_of(
        st.builds(_replace, places, st.just(0), st.binary(min_size=1, max_size=16)),
        st.builds(_replace, places, lengths, st.just(b"")),
        st.builds(_replace, places, st.just(len(content)), st.just(b"")),
        st.builds(_overwrite, places, st.binary(min_size=1, max_size=8)),
        st.builds(_flip, places, st.integers(0, 7)),
        st.builds(_repeat, places, places, lengths),
    )
    return st.lists(edits, min_size=1, max_size=MOST_EDITS).map(
        lambda chosen: functools.reduce(lambda changed, edit: edit(changed), chosen, content)
    )


def damaged_tree(load: Callable[[], Any], makes: Sequence[Make]) -> st.SearchStrategy[Any]:
    """What ``load`` returns, of lists and dicts, with values changed, moved, added or gone."""
    places = st.sampled_from(list(_places(load())))
    put = st.tuples(st.just(_put), places, st.sampled_from(makes))
    edits = st.one_of(
        put,
        put,  # twice as often
        st.tuples(st.just(_add), places, st.sampled_from(makes)),
        st.tuples(st.just(_move), places, places),
        st.tuples(st.just(_drop), places, st.none()),
    )

    def damaged(chosen: list[Any]) -> Any:
        tree = load()
        for edit, place, by in chosen:
            # one before it may have taken away what it is for
            with contextlib.suppress(LookupError, TypeError, RuntimeError):
                edit(tree, place, by)
        return tree

    return st.lists(edits, min_size=1, max_size=MOST_EDITS).map(damaged)


Place = tuple[Any, ...]
"""The keys and indices on the way from the top."""


def _places(tree: Any, place: Place = ()) -> Iterator[Place]:
    keys = tree if isinstance(tree, dict) else range(len(tree) if isinstance(tree, list) else 0)
    for key in keys:
        yield (*place, key)
        yield from _places(tree[key], (*place, key))


def _at(tree: Any, place: Place) -> Any:
    return functools.reduce(lambda inside, key: inside[key], place, tree)


def _put(tree: Any, place: Place, make: Make) -> None:
    inside, key = _at(tree, place[:-1]), place[-1]
    inside[key] = make(inside[key])


def _add(tree: Any, place: Place, make: Make) -> None:
    inside, key = _at(tree, place[:-1]), place[-1]
    if isinstance(inside, list):
        inside.append(make(inside[key]))
    else:
        inside[f"{key}{key}"] = make(inside[key])


def _move(tree: Any, place: Place, source: Place) -> None:
    _at(tree, place[:-1])[place[-1]] = copy.deepcopy(_at(tree, source))


def _drop(tree: Any, place: Place, _: None) -> None:
    del _at(tree, place[:-1])[place[-1]]


Edit = Callable[[bytes], bytes]


def _replace(place: int, length: int, by: bytes) -> Edit:
    return lambda content: content[:place] + by + content[place + length :]


def _overwrite(place: int, by: bytes) -> Edit:
    return _replace(place, len(by), by)


def _flip(place: int, bit: int) -> Edit:
    def flip(content: bytes) -> bytes:
        flipped = bytes(byte ^ 1 << bit for byte in content[place : place + 1])
        return content[:place] + flipped + content[place + 1 :]

    return flip


def _repeat(source: int, place: int, length: int) -> Edit:
    return lambda content: _overwrite(place, content[source : source + length])(content)
