"""Streams that are closed, full or of another encoding, and what the system refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from edgeexit_runtime.errors import MESSAGE_CHARACTERS

GUARDED = """
import os, sys
from edgeexit_runtime.command_line import guarded_streams

with guarded_streams():
    print({text!r}, file=sys.stderr)
    print({text!r})
    {more}
"""


def run(
    redirected: str, *, text: str = "out", more: str = "", **environment: str
) -> tuple[int, str, str]:
    """Run a guarded command under a shell's redirections; return its status and what it wrote."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-W", "error", "-c", GUARDED.format(text=text, more=more)]
    result = subprocess.run(
        ["sh", "-c", f'"$@" {redirected}', "sh", *command],
        env={**variables, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout.decode(), result.stderr.decode()


FULL = "Error: could not write the output: No space left on device; free space or send it elsewhere"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("redirected", "expected"),
    [
        ("", (0, "out\n", "out\n")),
        (">/dev/full", (1, "", f"out\n{FULL}\n")),
        ("2>/dev/full", (1, "", "")),
        (">/dev/full 2>/dev/full", (1, "", "")),
        (">&-", (0, "", "out\n")),
        ("2>&-", (0, "out\n", "")),
        ("<&- >&- 2>&-", (0, "", "")),
    ],
)
def test_streams_that_take_nothing(
    redirected: str, expected: tuple[int, str, str], unbuffered: str
) -> None:
    assert run(redirected, PYTHONUNBUFFERED=unbuffered) == expected


def test_a_pipe_whose_reader_has_gone_ends_quietly() -> None:
    more = "for line in range(100_000): print(line)"
    code, out, err = run("| head -n 1", more=more)
    assert (out, err) == ("out\n", "out\n")
    assert code == 0  # head's


def test_no_file_is_opened_in_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    more = f"with open({str(file)!r}, 'w') as file: os.write(1, b'from a library'); file.write('x')"
    assert run(">&-", more=more)[0] == 0
    assert file.read_text() == "x"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "0.9 ± 0.1 日本 \\udcff"),
        ("latin-1", "0.9 ± 0.1 \\u65e5\\u672c \\udcff"),
        ("ascii", "0.9 \\xb1 0.1 \\u65e5\\u672c \\udcff"),
    ],
)
def test_characters_that_the_encoding_does_not_have_are_escaped(
    encoding: str, expected: str
) -> None:
    text = "0.9 ± 0.1 日本 \udcff"
    more = f"print({text!a}); print({text!a}, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", GUARDED.format(text="", more=more)],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
        check=True,
    )
    for written in (result.stdout, result.stderr):
        assert written.decode(encoding).strip() == expected


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        ("open('x' * 300)", ("x" * 100, os.strerror(errno.ENAMETOOLONG), "check this path")),
        ("open(b'missing')", ("missing: ", os.strerror(errno.ENOENT), "check this path")),
        ("os.chmod(98, 0)", ("98: ", os.strerror(errno.EBADF))),
        ("open('a\\0b')", ("embedded null byte", "check the paths")),
        ("os.stat('a\\0b')", ("embedded null", "check the paths")),
        ("os.write(99, b'')", (os.strerror(errno.EBADF), "could not write")),
    ],
)
def test_what_the_system_refuses_is_one_line(more: str, facts: tuple[str, ...]) -> None:
    code, out, err = run("", more=more)
    assert (code, out) == (1, "out\n")
    first, line = err.splitlines()
    assert first == "out"
    assert line.startswith("Error: ")
    assert len(line) <= len("Error: ") + MESSAGE_CHARACTERS
    for fact in facts:
        assert fact in line


@pytest.mark.parametrize("error", ["ValueError('no')", "RuntimeError('no')", "OSError('no')"])
def test_other_errors_are_bugs_and_keep_their_traceback(error: str) -> None:
    code, _, err = run("", more=f"raise {error}")
    assert code == 1
    assert "Traceback" in err


@pytest.mark.parametrize("path", ["x" * 300, "a/" * 3000, "missing"])
def test_paths_of_the_runtimes_own_command(path: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "edgeexit_runtime", "build", path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {path[:50]}")
