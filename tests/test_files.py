"""Files are whole or not there, whatever interrupts the writing."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from edgeexit_runtime.system.files import temporary_path
from edgeexit_runtime.system.locks import lock_folder
from edgeexit_runtime.system.signals import StopSignals
from support.kills import killed_at_each_step
from support.messages import missing

from edgeexit.errors import BusyError, EdgeExitError
from edgeexit.files import (
    check_writable,
    read_json,
    remove_leftovers,
    replace_file,
    replace_folder,
    write_into,
    write_json,
)

Replace = Callable[[Path], AbstractContextManager[Path]]

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system where two folders cannot change places in one step."""
    monkeypatch.setattr(sys, "platform", "other")


@pytest.fixture(params=["exchange", "renames"])
def either_way(request: pytest.FixtureRequest) -> None:
    if request.param == "renames":
        request.getfixturevalue("without_exchange")


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def put(replace: Replace, path: Path, text: str) -> None:
    """Write ``text`` to a file, or to ``content`` in a folder."""
    with replace(path) as temporary:
        target = temporary / "content" if replace is replace_folder else temporary
        target.write_text(text)


def read(replace: Replace, path: Path) -> str:
    return (path / "content" if replace is replace_folder else path).read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


both = pytest.mark.parametrize("replace", [replace_file, replace_folder])


@both
def test_old_content_stands_until_the_block_ends(replace: Replace, tmp_path: Path) -> None:
    path = tmp_path / "target.bin"
    put(replace, path, "old")
    with replace(path) as temporary:
        assert read(replace, path) == "old"
        assert temporary.parent == tmp_path, "a rename is atomic only on one file system"
        assert temporary.suffix == ".bin", "kept for writers that choose by it"
        (temporary / "content" if temporary.is_dir() else temporary).write_text("new")
    assert read(replace, path) == "new"
    assert names(tmp_path) == ["target.bin"]


@pytest.mark.usefixtures("either_way")
def test_nothing_of_the_old_folder_stays(tmp_path: Path) -> None:
    put(replace_folder, tmp_path / "out", "old")
    with replace_folder(tmp_path / "out") as folder:
        (folder / "other").write_text("new")
    assert names(tmp_path / "out") == ["other"]
    assert names(tmp_path) == ["out"]


@both
@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), NO_SPACE], ids=repr)
def test_interrupted_block_leaves_the_old_content_and_nothing_else(
    replace: Replace, error: BaseException, tmp_path: Path
) -> None:
    path = tmp_path / "target.bin"
    put(replace, path, "old")
    expected = EdgeExitError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_half(replace, path, error)
    assert read(replace, path) == "old"
    assert names(tmp_path) == ["target.bin"]


def write_half(replace: Replace, path: Path, error: BaseException) -> None:
    with replace(path) as temporary:
        (temporary / "half" if temporary.is_dir() else temporary).write_text("half")
        raise error


@both
def test_interrupted_first_write_leaves_nothing(replace: Replace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), replace(tmp_path / "target"):
        raise ValueError("no")
    assert names(tmp_path) == []


@both
def test_full_disk_is_explained_in_one_line(replace: Replace, tmp_path: Path) -> None:
    path = tmp_path / "target"
    with pytest.raises(EdgeExitError) as caught, replace(path):
        raise NO_SPACE
    facts = str(path), "No space left on device", "nothing was changed", "free space or choose"
    assert not missing(caught.value, *facts)
    assert caught.value.exit_code == 1


@both
def test_folder_that_cannot_be_made_is_explained(replace: Replace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(EdgeExitError, match=r"could not write .*target: (Not a dir|File exists)"),
        replace(tmp_path / "file" / "target"),
    ):
        pytest.fail("the block must not start")


@both
def test_missing_parents_are_made(replace: Replace, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "target"
    put(replace, path, "new")
    assert read(replace, path) == "new"


@both
def test_permissions_are_those_of_any_new_file(
    replace: Replace, umask: int, tmp_path: Path
) -> None:
    path = tmp_path / "target"
    put(replace, path, "new")
    usual = 0o777 if replace is replace_folder else 0o666
    assert stat.S_IMODE(path.stat().st_mode) == usual & ~umask
    assert os.umask(umask) == umask, "the process's own mask is as it was"


@pytest.mark.usefixtures("without_exchange")
@pytest.mark.parametrize("error", [OSError(errno.EIO, "failed"), KeyboardInterrupt("failed")])
def test_folder_that_cannot_take_its_place_gives_the_old_one_back(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    put(replace_folder, path, "old")
    fail_when_renamed_to(path, error, monkeypatch)
    with pytest.raises((EdgeExitError, KeyboardInterrupt), match="failed"):
        put(replace_folder, path, "new")
    assert read(replace_folder, path) == "old"
    assert names(tmp_path) == ["out"]


def fail_when_renamed_to(path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first rename to ``path`` fail, and every later one succeed."""
    rename, errors = Path.rename, [error]

    def failing(self: Path, target: Path) -> Path:
        if Path(target) == path and errors:
            raise errors.pop()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)


@both
def test_link_stays_a_link(replace: Replace, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    put(replace, real, "old")
    link.symlink_to(real)
    put(replace, link, "new")
    assert link.is_symlink()
    assert read(replace, real) == "new"
    assert names(tmp_path) == ["link", "real"]


def test_device_or_pipe_is_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(EdgeExitError, match="it is no regular file; choose another name"):
        put(replace_file, pipe, "new")
    assert pipe.is_fifo()


def test_files_and_folders_never_replace_each_other(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(EdgeExitError, match="it is no folder; choose another name"):
        put(replace_folder, path, "new")
    assert path.read_text() == "mine"
    put(replace_folder, tmp_path / "out", "mine")
    with pytest.raises(EdgeExitError, match="could not write"):
        put(replace_file, tmp_path / "out", "new")
    assert read(replace_folder, tmp_path / "out") == "mine"
    assert names(tmp_path) == ["notes.txt", "out"]


def test_json_is_readable_and_ends_with_a_line(tmp_path: Path) -> None:
    value = {"exits": [{"name": "exit1", "threshold": 0.5}], "note": "ä"}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 3, "people read it too"


def test_value_without_json_form_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", 1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "value.json", {"value": object()})
    assert json.loads((tmp_path / "value.json").read_text()) == 1
    assert names(tmp_path) == ["value.json"]


def test_what_killed_processes_left_of_a_file_is_removed_unasked_too(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    temporary_path(path).touch()
    with replace_file(path) as temporary:
        remove_leftovers(path)
        assert names(tmp_path) == [temporary.name]


def put_unless_stopped(path: Path, text: str) -> None:
    with StopSignals():
        put(replace_folder, path, text)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("before", ["old", None])
def test_folder_is_whole_wherever_its_writer_is_killed(
    before: str | None, number: signal.Signals, tmp_path: Path
) -> None:
    path = tmp_path / "out.v1"
    start_again(path, before)
    found = []
    for _ in killed_at_each_step(lambda: put_unless_stopped(path, "new"), tmp_path, number):
        found.append(read(replace_folder, path) if path.exists() else None)
        if number == signal.SIGTERM:  # a lock that nobody holds may be left, nothing else
            assert [name for name in names(tmp_path) if "lock" not in name] in ([], [path.name])
        check_next_writer_sweeps(path)
        start_again(path, before)
    assert set(found) == {before, "new"}
    assert len(found) > 10


@pytest.mark.usefixtures("without_exchange")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_folder_is_whole_or_on_its_way_wherever_its_writer_is_killed_between_renames(
    number: signal.Signals, tmp_path: Path
) -> None:
    path = tmp_path / "out.v1"
    start_again(path, "old")
    found = []
    for _ in killed_at_each_step(lambda: put_unless_stopped(path, "new"), tmp_path, number):
        found.append(read(replace_folder, path) if path.exists() else None)
        check_next_writer_sweeps(path)
        assert read(replace_folder, path) == (found[-1] or "old")
        start_again(path, "old")
    assert set(found) == ({"old", None, "new"} if number == signal.SIGKILL else {"old", "new"})


def check_next_writer_sweeps(path: Path) -> None:
    """Whether it succeeds itself or not."""
    with pytest.raises(ValueError, match="stop"), replace_folder(path):
        raise ValueError("stop")
    assert names(path.parent) == ([path.name] if path.exists() else [])
    assert not path.exists() or names(path) == ["content"]


def start_again(path: Path, text: str | None) -> None:
    if text is not None:
        put(replace_folder, path, text)
    elif path.exists():
        (path / "content").unlink()
        path.rmdir()


def test_folders_of_others_that_look_alike_stay(tmp_path: Path) -> None:
    others = [".out", ".out.20240131", ".out.backup", ".output.edgeexit-01234567", "out.old"]
    others += [".out.edgeexit-01234567.old", ".out.edgeexit-0123456", ".out.0123456a"]
    for name in [*others, ".out.edgeexit-01234567", ".out.edgeexit-old"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "out").mkdir()
    put(replace_folder, tmp_path / "out", "new")
    assert names(tmp_path) == sorted([*others, "out"])


def test_folder_is_written_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "out"
    message = f"{path}: process {os.getpid()} is writing to it; wait until it has ended"
    with replace_folder(path) as first:
        (first / "content").write_text("first")
        with pytest.raises(BusyError) as refused:
            put(replace_folder, path, "second")
        assert str(refused.value).startswith(message)
        assert first.exists()
    assert read(replace_folder, path) == "first"
    assert names(tmp_path) == ["out"]


def test_folder_that_somebody_adds_to_is_not_replaced(tmp_path: Path) -> None:
    """Such as a bundle whose engines are being built."""
    path = tmp_path / "out"
    put(replace_folder, path, "old")
    with lock_folder(path), pytest.raises(BusyError, match="is writing to it"):
        put(replace_folder, path, "new")
    assert names(path) == ["content"]
    with replace_folder(path) as folder:
        (folder / "content").write_text("new")
        with pytest.raises(BusyError, match="is writing to it"):
            lock_folder(path).__enter__()
    assert names(path) == ["content"]


def test_run_is_alone_in_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run"
    with write_into(path):
        (path / "file").touch()
        with pytest.raises(BusyError, match=f"{path}: process {os.getpid()} is writing to it"):
            write_into(path).__enter__()
    assert names(path) == ["file"]
    with write_into(path):
        pass
    assert names(path) == ["file"]


def test_run_that_writes_nothing_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match="stop"), write_into(tmp_path / "runs" / "a" / "b"):
        raise ValueError("stop")
    assert names(tmp_path / "runs") == []


def test_errors_within_a_run_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_into(tmp_path / "run"):
        raise FileNotFoundError


def test_place_where_no_run_can_write_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EdgeExitError, match=r"could not write .*run"):
        write_into(tmp_path / "file" / "run").__enter__()


def test_a_place_that_can_be_written_is_left_as_it_is(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "file.json")
    assert names(tmp_path) == []
    (tmp_path / "file.json").write_text("old")
    check_writable(tmp_path / "file.json")
    assert names(tmp_path) == ["file.json"]
    assert (tmp_path / "file.json").read_text() == "old"


def test_a_place_that_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(EdgeExitError, match="it is no regular file; choose another name"):
        check_writable(tmp_path / "folder.json")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeExitError, match=r"could not write .*file\.json: Not a directory"):
        check_writable(tmp_path / "file" / "file.json")
    assert names(tmp_path) == ["file", "folder.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot be read \(No such file or directory\)"),
        (b"", r"not valid JSON \(Expecting value: line 1 column 1 \(char 0\)\)"),
        (b"\xff", r"not valid JSON \(.*can't decode byte"),
        (b"[1, NaN]", r"not valid JSON \(expected finite numbers, got NaN\)"),
        (b"[" * 10_000 + b"]" * 10_000, r"not valid JSON \(nested deeper than 32 levels\)"),
        (b"[" + b"1," * 20_000, "larger than 30000 bytes"),
    ],
)
def test_json_from_outside(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"^{message}"):
        read_json(tmp_path / "a.json", max_bytes=30_000)
