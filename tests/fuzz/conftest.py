"""Damaged files are read by a process of their own, and whatever comes of it has a class.

Good ones are an error of ours in one line (refused), the answer of the whole files (same) and,
where the damage had its checksums put right, another finite one (other). All else is a find, and
its files are kept in ``fuzz_finds``.

The tests draw the same damage every time. ``FUZZ_MINUTES=30 make fuzz`` draws new damage for so
long, and counts the classes.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

# what a process takes is read from Linux's /proc
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

WORKER = Path(__file__).with_name("worker.py")
FINDS = Path("fuzz_finds")
MINUTES = float(os.environ.get("FUZZ_MINUTES", 0))
START_S, TIMEOUT_S = 300.0, 30.0
MAX_MORE_BYTES = 200 * 2**20  # of memory, while files of about a megabyte are read


class Contents(dict[str, bytes]):
    """Contents by file name."""

    def __repr__(self) -> str:  # which hypothesis takes of everything that it draws
        return ", ".join(self)


class Reader:
    """Reads damaged files in another process; in a new one where that died or hung.

    Args:
        name: what is read, a name of the worker's.
        whole: a folder with whole files.
        folder: where damaged copies are written.
        timeout_s: what takes longer hangs.
    """

    def __init__(self, name: str, whole: Path, folder: Path, timeout_s: float) -> None:
        self.name, self.folder = name, folder
        self._timeout_s = timeout_s
        self._whole = whole
        self._process: subprocess.Popen[str] | None = None
        self._same = self._ask(whole)["detail"]

    def __call__(self, files: Mapping[str, bytes]) -> tuple[str, str]:
        """Return the class of what comes of these contents beside the whole files; details."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._whole, self.folder)
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        found = self._ask(self.folder)
        kind, detail = found["kind"], found["detail"]
        if found.get("more_bytes", 0) > MAX_MORE_BYTES:
            return "memory", f"{found['more_bytes'] >> 20} MiB ({kind} {detail})"
        if kind == "answered":
            return "same" if detail == self._same else "other", ""
        return kind, detail

    def close(self) -> int | None:
        """End the process; return its exit status where it had ended by itself."""
        process, self._process = self._process, None
        if process is None:
            return None
        status = process.poll()
        process.kill()
        process.communicate()
        return status

    def _ask(self, folder: Path) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), self.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            assert self._line(self._whole, START_S), "the whole files cannot be read"
        line = self._line(folder, self._timeout_s)
        if line:
            outcome: dict[str, Any] = json.loads(line)
            return outcome
        status = self.close()
        return {"kind": "hang" if line is None else "crash", "detail": f"exit status {status}"}

    def _line(self, folder: Path, timeout_s: float) -> str | None:
        """Return the answer to a folder; None where none comes, empty where the process died."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        return self._process.stdout.readline() if ready else None


@pytest.fixture(scope="module")
def reader(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Reader]]:
    """``reader(name, whole)`` is a :class:`Reader`, started once."""
    started: dict[tuple[str, Path, float], Reader] = {}

    def start(name: str, whole: Path, timeout_s: float = TIMEOUT_S) -> Reader:
        key = name, whole, timeout_s
        if key not in started:
            started[key] = Reader(*key[:2], tmp_path_factory.mktemp(name) / "damaged", timeout_s)
        return started[key]

    yield start
    for one in started.values():
        one.close()


@pytest.fixture
def fuzz(
    reader: Callable[..., Reader],
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., None]:
    """``fuzz(name, whole, damage, runs, other=True)`` gives damaged contents to a reader.

    ``name`` is the worker's, ``whole`` the folder that is damaged. ``damage`` draws contents by
    file name, ``runs`` is how many where no minutes are given, and ``other`` says whether another
    answer than that of the whole files is a good one.
    """
    seconds = 60 * MINUTES / request.session.testscollected

    def run(
        name: str,
        whole: Path,
        damage: st.SearchStrategy[Mapping[str, bytes]],
        runs: int,
        *,
        other: bool = True,
    ) -> None:
        read = reader(name, whole)
        counts, finds = Counter[str](), dict[Path, str]()
        end = time.monotonic() + seconds
        good = ("refused", "same", "other") if other else ("refused", "same")

        def classify(files: Contents) -> None:
            if MINUTES and time.monotonic() > end:
                return
            kind, detail = read(files)
            counts[kind] += 1
            if kind not in good:
                kept = FINDS / _name(read.name, kind, detail)
                finds[kept] = detail
                shutil.copytree(read.folder, kept, dirs_exist_ok=True)

        drawn = settings(
            max_examples=runs,
            derandomize=not MINUTES,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=tuple(HealthCheck),
        )(given(damage.map(Contents))(classify))
        drawn()
        while time.monotonic() < end:
            seed(random.getrandbits(64))(drawn)()
        if MINUTES:
            classes = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
            with capsys.disabled():
                sys.stdout.write(f"{request.node.name}: {counts.total()} runs: {classes}\n")
        if finds:
            lines = (f"{kept}: {detail}" for kept, detail in finds.items())
            pytest.fail("\n".join(lines), pytrace=False)

    return run


def _name(*parts: str) -> str:
    """Return what finds of one kind have in common, as a file's name."""
    common = re.sub(r"'[^']*'|\S*/\S*|[0-9]+", "", " ".join(parts))
    return re.sub(r"[^A-Za-z_.]+", "-", common)[:100].strip("-")
