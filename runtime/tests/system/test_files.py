"""Files are whole or not there, whatever ends the process that writes them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
from edgeexit_runtime.system import files
from edgeexit_runtime.system.files import replace_file, temporary_path
from edgeexit_runtime.system.signals import StopSignals
from support.kills import killed_at_each_step

OF_OTHERS = [
    ".la[s]t.pt",
    ".la[s]t.0123456a.pt",
    ".last.edgeexit-01234567.pt",
    ".la[s]t.edgeexit-01234567.pth",
    "la[s]t.edgeexit-01234567.pt",
    ".la[s]t.edgeexit-0123456.pt",
]


def put(path: Path, text: str) -> None:
    with replace_file(path) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_file_is_whole_wherever_its_writer_is_killed(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "target.bin"
    put(path, "old")

    def work() -> None:
        with StopSignals():
            put(path, "new")

    seen = []
    for _ in killed_at_each_step(work, tmp_path, number):
        seen.append(path.read_text())
        assert seen[-1] in ("old", "new")
        assert len(names(tmp_path)) <= 2, "leftovers do not pile up"
        if number == signal.SIGTERM:
            assert names(tmp_path) == ["target.bin"]
        put(path, "old")
        assert names(tmp_path) == ["target.bin"], "the next writer sweeps"
    assert len(seen) >= 5
    assert seen[0] == "old"
    assert path.read_text() == "new"


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "la[s]t.pt"
    ours = [temporary_path(path).name for _ in range(3)]
    for name in [*ours, *OF_OTHERS, path.name]:
        (tmp_path / name).touch()
    (tmp_path / ".la[s]t.edgeexit-89abcdef.pt").mkdir()
    put(path, "new")
    assert names(tmp_path) == sorted([*OF_OTHERS, ".la[s]t.edgeexit-89abcdef.pt", path.name])


def test_what_another_is_writing_stays(tmp_path: Path) -> None:
    path = tmp_path / "target.bin"
    with replace_file(path) as first:
        first.write_text("first")
        put(path, "second")
        assert first.exists()
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert names(tmp_path) == ["target.bin"]


def test_content_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "target.bin"
    put(path, "old")
    synced = []

    def fsync(file: int) -> None:
        synced.append((os.pread(file, 10, 0), path.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    put(path, "new")
    assert synced == [(b"new", "old")]


def test_disk_that_is_full_when_the_content_gets_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "target.bin", "old")

    def fsync(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        put(tmp_path / "target.bin", "new")
    assert (tmp_path / "target.bin").read_text() == "old"
    assert names(tmp_path) == ["target.bin"]


def test_folder_that_cannot_be_listed_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", listed)
    put(tmp_path / "target.bin", "new")
    assert (tmp_path / "target.bin").read_text() == "new"
