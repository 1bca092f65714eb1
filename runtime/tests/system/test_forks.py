"""The child of a fork: a session of the parent's says so at once, whatever the threads were at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("it does not fork", allow_module_level=True)

PARENT = """
import gc, os, signal, sys, threading
import edgeexit_runtime as ee, numpy as np

folder, threads, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
session = ee.load(folder, threads=threads)
images = np.zeros((4, 3, 4, 4), np.float32)
over = threading.Event()

def infer():
    while not over.is_set():
        session.infer(images)

def told(call):
    try:
        call()
    except ee.InputError as error:
        return "loaded before this process was forked" in str(error)
    return False

def child():
    global session
    calls = [
        lambda: session.infer(images),
        lambda: session.infer(images, deadline_ms=1),
        lambda: session.infer_all_exits(images),
        session.warm_up,
        lambda: setattr(session, "thresholds", {"exit1": 0.5, "exit2": 0.5}),
    ]
    right = all(map(told, calls))
    session.close()
    right &= told(calls[0])
    session = calls = None
    gc.collect()
    with ee.load(folder, threads=threads) as mine:
        right &= mine.infer(images).exits.tolist() == [2] * 4
    return right

def fork():
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # of a hang nobody is told
        os._exit(0 if child() else 1)
    codes.append(os.waitpid(pid, 0)[1])

codes = []
thread = threading.Thread(target=infer)
thread.start()
for _ in range(turns):
    fork()
over.set()
thread.join()
fork()  # nobody is in a call, so that the child has nothing that keeps the session
assert session.infer(images).exits.tolist() == [2] * 4, "the parent goes on"
print(codes)
"""


@pytest.mark.parametrize(
    ("threads", "turns"), [(4, 2), pytest.param(1, 12, marks=pytest.mark.slow)]
)
def test_a_fork_while_another_thread_infers(bundle: Path, threads: int, turns: int) -> None:
    # newer versions of Python warn of forks beside threads
    command = [sys.executable, "-W", "ignore", "-c", PARENT, str(bundle), str(threads), str(turns)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == str([0] * (turns + 1))
