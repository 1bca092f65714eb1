"""A command of edgeexit that signals end, by steps in a folder or by moments, from one start.

    python -m support.killed_command PLACE SIGNAL MOMENTS COMMAND...

MOMENTS are so many, spread over the time that the command takes, which is measured first; 0 is a
signal before each step. After each run a line with MARK is printed, and one awaited. The last run
is to the end.
"""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

import onnxruntime  # noqa: F401  # what is imported here is not imported again and again
import onnxscript  # noqa: F401
import torch

import edgeexit.export
import edgeexit.training  # noqa: F401
from edgeexit.cli import COMMANDS, main
from support.kills import killed_at_each_step, killed_at_moments, run_whole

STEPS = ("fcntl.flock", "os.mkdir", "os.rename", "os.rmdir", "shutil.rmtree", "ctypes.dlsym")


MARK = "ended by "


def _pause(what: object) -> None:
    sys.stdout.write(f"{MARK}{what}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def _main(place: str, number: str, moments: str, *command: str) -> None:
    def work() -> None:
        main([*command], prog_name="edgeexit")

    torch.set_num_threads(1)
    importlib.import_module(COMMANDS[command[0]])
    which, times = signal.Signals[number], int(moments)
    if not times:
        for step in killed_at_each_step(work, Path(place), which, STEPS):
            _pause(f"{number} before step {step}")
        return
    whole_s = run_whole(work)
    _pause("itself")
    for moment_s in killed_at_moments(
        work, [whole_s * (n + 0.5) / times for n in range(times)], which
    ):
        _pause(f"{number} after {moment_s:.2f} s")
    run_whole(work)


if __name__ == "__main__":
    _main(*sys.argv[1:])
