"""Commands that are killed at any moment: what they write is whole, and the next run tidies up."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from support.killed_command import MARK

from edgeexit.files import write_into
from edgeexit.training import load_checkpoint, save_checkpoint, stored_config

pytestmark = pytest.mark.slow

SIGNALS = ("SIGKILL", "SIGTERM")
KILLS = (6, 0)
"""So many, spread over the time that a command takes; 0 is one before each step."""

signals = pytest.mark.parametrize("number", SIGNALS)
kills = pytest.mark.parametrize("moments", KILLS)


def killed(place: Path, number: str, moments: int, *command: object) -> Iterator[str]:
    """Yield each time that the command ended, by a signal or itself; a last run is to its end."""
    tests = Path(__file__).parents[1]
    arguments = [str(word) for word in (place, number, moments, *command)]
    log = place.with_name("stderr.txt")
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "support.killed_command", *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MARK):
                yield line
                process.stdin.write("\n")
                process.stdin.flush()
    assert "Traceback" not in log.read_text()
    assert process.returncode == 0, log.read_text()


def edgeexit(*command: object) -> None:
    words = [sys.executable, "-m", "edgeexit", *map(str, command)]
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-20, which other processes know too."""
    run: Path = tmp_path_factory.mktemp("trained") / "run"
    words = ("--input-size", "8", "--epochs", "1", "--batch-size", "128", "--device", "cpu")
    network = ("--backbone", "resnet20", "--branches", "n+n", "--dataset", "digits")
    edgeexit("train", *network, *words, "-o", run)
    return run / "ckpt.pt"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An own folder for all that a command may write."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def first_threshold(bundle: Path) -> float:
    """Load all of a bundle, and return what tells the old one from the new one."""
    with ee.load(bundle, providers=["CPUExecutionProvider"], threads=1) as session:
        session.infer(np.zeros((1, *session.manifest.preprocessing.input_size), np.float32))
        return session.thresholds["exit1"]


@pytest.mark.parametrize(
    ("before", "number", "moments"),
    [
        *(("old", number, moments) for number in SIGNALS for moments in KILLS),
        (None, "SIGKILL", 0),
    ],
)
def test_export(
    before: str | None, number: str, moments: int, checkpoint: Path, place: Path, tmp_path: Path
) -> None:
    stored = load_checkpoint(checkpoint)
    new = tmp_path / "new.pt"
    save_checkpoint(new, dataclasses.replace(stored, thresholds={"exit1": 0.75, "exit2": 0.2}))
    old, output = tmp_path / "old", place / "out"
    if before is not None:
        edgeexit("export", checkpoint, "-o", old, "--engine", "none")
        shutil.copytree(old, output)
    found = set()
    options = ("--engine", "none", "--samples", "8", "--no-baseline")
    for _ in killed(place, number, moments, "export", new, "-o", output, *options):
        found.add(first_threshold(output) if output.exists() else None)
        left = [name for name in names(place) if name != "out"]
        assert len(left) <= 2, "leftovers do not pile up"
        if number == "SIGTERM":
            assert left in ([], [".out.edgeexit-lock"])
        if output.exists():
            shutil.rmtree(output)
        if before is not None:
            shutil.copytree(old, output)
    assert found == {stored.thresholds["exit1"] if before else None, 0.75}
    assert first_threshold(output) == 0.75
    assert names(place) == ["out"]


@kills
@signals
def test_tune(
    number: str, moments: int, tiny_bundle: Callable[[Path], Path], place: Path, tmp_path: Path
) -> None:
    old, output = tiny_bundle(tmp_path / "old"), place / "out"
    files = names(old)
    shutil.copytree(old, output)
    found = []
    command = ("tune", "--engine-dir", output, "--max-drop", "0.02", "--device", "cpu")
    for _ in killed(place, number, moments, *command):
        found.append(first_threshold(output))
        left = set(names(output)) - set(files)
        assert len(left) <= 2
        if number == "SIGTERM":
            assert left <= {".build.lock"}
        shutil.copy(old / "manifest.json", output)
    assert first_threshold(old) in found
    assert set(found) <= {first_threshold(old), first_threshold(output)}
    assert names(output) == files


@kills
@signals
def test_train(number: str, moments: int, place: Path) -> None:
    run = place / "run"
    command = ["train", "--backbone", "resnet20", "--branches", "1+n", "--dataset", "digits"]
    command += ["--input-size", "8", "--epochs", "1", "--batch-size", "128", "--device", "cpu"]
    for _ in killed(place, number, moments, *command, "-o", run):
        if (run / "last.pt").exists():
            load_checkpoint(run / "last.pt")
            assert stored_config(run).epochs == 1
            if moments:
                edgeexit("train", "--resume", "-o", run)
                load_checkpoint(run / "ckpt.pt")
                assert [name for name in names(run) if name.startswith(".")] == []
            shutil.rmtree(run)
        assert names(place) in ([], ["run"]), "what was killed before it began is no obstacle"
    assert load_checkpoint(run / "ckpt.pt").training["epoch"] == 1


@pytest.mark.parametrize("to_all", [False, True], ids=["one process", "its workers too"])
def test_train_with_workers_ends_in_one_line(to_all: bool, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--input-size", "8", "--epochs", "50", "--workers", "2", "--device", "cpu")
    command = ("train", "--backbone", "resnet20", "--dataset", "digits", *options, "-o", str(run))
    with subprocess.Popen(
        [sys.executable, "-m", "edgeexit", *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        wait_until((run / "ckpt.pt").exists)
        if to_all:
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()
        assert process.stderr is not None
        errors = process.stderr.read()  # until the workers have ended too
    assert process.returncode == 143
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith(f"Error: interrupted: {run / 'last.pt'} holds")
    assert [name for name in names(run) if name.startswith(".")] == []


def test_second_train_and_resume_are_refused_while_one_runs_and_not_after(tmp_path: Path) -> None:
    """Also where workers outlive their run, which was killed."""
    run = tmp_path / "run"
    options = ("--input-size", "8", "--epochs", "50", "--workers", "1", "--device", "cpu")
    start = ("train", "--backbone", "resnet20", "--dataset", "digits", *options)
    words = [sys.executable, "-m", "edgeexit"]
    with subprocess.Popen([*words, *start, "-o", str(run)], stderr=subprocess.DEVNULL) as first:
        wait_until((run / "ckpt.pt").exists)
        for again in (start, ("train", "--resume")):
            second = subprocess.run(
                [*words, *again, "-o", str(run)], capture_output=True, text=True, check=False
            )
            assert second.returncode == 1
            assert second.stderr.splitlines()[-1].startswith(
                f"Error: {run}: process {first.pid} is writing to it; wait until it has ended"
            )
        first.kill()
        first.wait()
        with write_into(run):
            pass


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
