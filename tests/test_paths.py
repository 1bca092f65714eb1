"""What is at a path, in the system's words where it refuses to say."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.permissions import permissions_count

import edgeexit
import edgeexit.bench
import edgeexit.export
import edgeexit.training
from edgeexit.errors import DataError, EdgeExitError
from edgeexit.files import check_writable, replace_file
from edgeexit.paths import is_file, is_folder
from edgeexit.training.checkpoint import load_checkpoint
from edgeexit.training.settings.config_file import read_options


def test_files_and_folders_behind_links_too(tmp_path: Path) -> None:
    file, folder, pipe = tmp_path / "file", tmp_path / "folder", tmp_path / "pipe"
    file.write_text("")
    folder.mkdir()
    os.mkfifo(pipe)
    found = {}
    for path in (file, folder, pipe, tmp_path / "missing", file / "below", tmp_path / "a\0b"):
        found[path.name] = (is_file(path), is_folder(path))
    for path in (file, folder):
        link = tmp_path / f"to {path.name}"
        link.symlink_to(path)
        found[link.name] = (is_file(link), is_folder(link))
    nothing = (False, False)
    assert found == {
        **{"file": (True, False), "folder": (False, True), "pipe": nothing, "missing": nothing},
        **{"below": nothing, "a\0b": nothing, "to file": (True, False), "to folder": (False, True)},
    }


def too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def in_a_circle(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def locked(folder: Path) -> Path:
    (folder / "locked").mkdir(mode=0o000)
    return folder / "locked" / "x"


REFUSED = [
    (too_long, "File name too long"),
    (in_a_circle, "Too many levels of symbolic links"),
    (locked, "Permission denied"),
]


@pytest.mark.parametrize(("make", "reason"), REFUSED)
@pytest.mark.parametrize("ask", [is_file, is_folder])
def test_what_the_system_does_not_say(
    make: Callable[[Path], Path], reason: str, ask: Callable[[Path], bool], tmp_path: Path
) -> None:
    path = make(tmp_path)
    with permissions_count(), pytest.raises(DataError, match=reason) as caught:
        ask(path)
    assert str(caught.value).startswith(f"{tmp_path}"[:50])


def test_a_place_behind_a_circle_of_links_is_told_before_it_is_written(tmp_path: Path) -> None:
    loop = in_a_circle(tmp_path)
    for path in (loop, loop / "below"):
        with pytest.raises(EdgeExitError, match=r"could not write .*symbolic links"):
            check_writable(path)


def test_no_name_has_a_nul(tmp_path: Path) -> None:
    path = tmp_path / "a\0b"
    for use in (check_writable, load_checkpoint, read_options):
        with pytest.raises(EdgeExitError, match=r"null (byte|character)"):
            use(path)
    with pytest.raises(EdgeExitError, match=r"null (byte|character)"), replace_file(path):
        pytest.fail("nothing is written")


def public_functions() -> list[tuple[str, Callable[..., object]]]:
    rooms = [edgeexit, edgeexit.bench, edgeexit.export, edgeexit.training]
    names = {(room.__name__, name) for room in rooms for name in room.__all__}
    found = {(room, name): getattr(sys.modules[room], name) for room, name in sorted(names)}
    return [(f"{room}.{name}", it) for (room, name), it in found.items() if inspect.isfunction(it)]


def test_public_functions_take_paths_as_text() -> None:
    """As a notebook has them: ``edgeexit.load_checkpoint("run/ckpt.pt")``."""
    taken = [
        (name, parameter.annotation)
        for name, function in public_functions()
        for parameter in inspect.signature(function).parameters.values()
        if re.search(r"\bPath\b", str(parameter.annotation))
    ]
    assert len(taken) > 10
    assert [it for it in taken if "str" not in it[1]] == []


@pytest.mark.parametrize(
    "read", [load_checkpoint, edgeexit.bench.load_report, edgeexit.training.stored_config]
)
def test_what_is_missing_is_named(read: Callable[[str], object], tmp_path: Path) -> None:
    with pytest.raises(EdgeExitError, match="missing"):
        read(str(tmp_path / "missing"))
