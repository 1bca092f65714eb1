"""Which rooms know which: imports anywhere in a file, inside functions too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import edgeexit

ROOT = Path(edgeexit.__path__[0])
NOT_KNOWN = {
    "statistics": ("bench", "cli", "evaluation"),
    "evaluation": ("bench", "cli"),
    "bench": ("cli",),
}
BENCH = ("results", "device", "timing", "roofline", "advice", "compare", "render")  # from below
BESIDE = {"advice": "roofline", "compare": "advice"}  # neither knows the other


def imports(folder: Path) -> set[str]:
    """Return the modules of edgeexit that the files of a folder import."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("edgeexit.")}


@pytest.mark.parametrize("room", NOT_KNOWN)
def test_a_room_knows_no_room_above_it(room: str) -> None:
    known = {name.split(".")[1] for name in imports(ROOT / room)}
    assert known, "the folder is there and imports something"
    assert not known & set(NOT_KNOWN[room])


@pytest.mark.parametrize("place", range(len(BENCH)))
def test_a_room_of_bench_knows_none_above_or_beside_it(place: int) -> None:
    room = BENCH[place]
    names = imports(ROOT / "bench" / room)
    known = {name.split(".")[2] for name in names if name.startswith("edgeexit.bench.")}
    assert not known & {*BENCH[place + 1 :], BESIDE.get(room), "run"}
