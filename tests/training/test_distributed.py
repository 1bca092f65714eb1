"""Several processes on one machine train what one process trains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgeexit.devices import resolve_device
from edgeexit.errors import InputError
from edgeexit.files import write_into
from edgeexit.training import load_checkpoint
from edgeexit.training.distributed import World, joined_world

pytest.importorskip("sklearn")

PROGRAM = """
import sys
from pathlib import Path

import torch
from torch import nn

from edgeexit.data import DataConfig
from edgeexit.training import TrainConfig, train

torch.set_num_threads(1)


class WithoutNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.second(self.first(x)).mean((2, 3)))


class Stop:
    def begin(self, plan):
        pass

    def remark(self, text):
        print("remark:", text, flush=True)

    def step(self, status):
        if (status.epoch, status.step) == (2, 5):
            raise KeyboardInterrupt


def count_workers(*_):
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    print("workers:", names.count("pt_gloo_runloop"), flush=True)


def main(output, network, accumulate, *options):
    own = network == "own"
    config = TrainConfig(
        "own:WithoutNorm" if own else "resnet20",
        "n" if own else "1+n",
        DataConfig("digits", input_size=(3, 8, 8)),
        epochs=2,
        lr=0.05,
        batch_size=64,
        device="cpu",
        distill="wed",
        accumulate=int(accumulate),
        exits="first" if own else "",
        save_minutes=0 if options else 5,
    )
    progress = Stop() if options == ("stop",) else None
    resume = options == ("resume",)
    model = WithoutNorm if own else None
    train(
        config,
        Path(output),
        model=model,
        progress=progress,
        resume=resume,
        on_epoch=count_workers,
    )
    count_workers()


main(*sys.argv[1:])
"""


def _run(
    folder: Path, processes: int, *arguments: str, fails: bool = False
) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(launcher if processes > 1 else []), str(program), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode != 0) == fails, result.stderr
    return result


def _metrics(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def _check_same(first: Path, second: Path, *, buffers: bool = True) -> None:
    for one, two in zip(_metrics(first), _metrics(second), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        if buffers:
            assert one["accuracy"] == two["accuracy"]
            assert one["teacher_accuracy"] == two["teacher_accuracy"]
    weights = [load_checkpoint(run / "last.pt").weights for run in (first, second)]
    for name, value in weights[0].items():
        if buffers or not ("running" in name or "num_batches" in name):
            assert torch.allclose(value, weights[1][name], rtol=1e-3, atol=1e-4), name


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    _run(tmp_path, 1, str(tmp_path / "one"), "own", "1")
    together = _run(tmp_path, 2, str(tmp_path / "two"), "own", "1")
    _check_same(tmp_path / "one", tmp_path / "two")
    in_first_epoch, *_, at_end = re.findall(r"workers: (\d+)", together.stdout)
    assert int(at_end) < int(in_first_epoch), "threads of the last sums could abort the process"


@pytest.mark.slow
def test_with_batch_norm_they_train_what_one_trains_in_two_parts(tmp_path: Path) -> None:
    """Each process takes the statistics of its own images, as each accumulated part does."""
    _run(tmp_path, 1, str(tmp_path / "one"), "resnet20", "2")
    _run(tmp_path, 2, str(tmp_path / "two"), "resnet20", "1")
    _check_same(tmp_path / "one", tmp_path / "two", buffers=False)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, processes: int) -> None:
    _run(tmp_path, 1, str(tmp_path / "whole"), "own", "1")
    parts = str(tmp_path / "parts")
    stopped = _run(tmp_path, processes, parts, "own", "1", "stop", fails=True)
    assert "holds step 4 of 16 in epoch 2" in stopped.stderr
    assert stopped.stdout.count("remark: exits after first") == 1, "one process tells"
    _run(tmp_path, 3 - processes, parts, "own", "1", "resume")
    _check_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_two_processes_are_refused_where_another_run_writes(tmp_path: Path) -> None:
    with write_into(tmp_path / "run"):
        refused = _run(tmp_path, 2, str(tmp_path / "run"), "own", "1", fails=True)
    assert f"{tmp_path / 'run'}: process {os.getpid()} is writing to it" in refused.stderr
    assert f"{tmp_path / 'run'}: another run is writing to it" in refused.stderr
    assert not (tmp_path / "run" / "config.toml").exists()


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_world("cpu") as world:
        assert world == World(0, 1, torch.device("cpu"))
        assert world.is_main
        assert world.sum([1.5]) == [1.5]
        assert world.as_main(True)
        assert not world.as_main(False)
        with world.main_first():
            world.wait()


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert resolve_device("cuda") == "cuda"
    message = "expected a GPU for each process, got 1 GPUs and process 2 on this machine: lower"
    with pytest.raises(InputError, match=message), joined_world("cuda"):
        pass
