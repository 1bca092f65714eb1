"""Runs that are stopped within an epoch, whatever stops them."""

from __future__ import annotations

import copy
import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import Listener, MakeConfig, same_weights
from torch import Tensor, nn

from edgeexit.errors import CheckpointError, TrainingError
from edgeexit.training import TrainConfig, load_checkpoint, train
from edgeexit.training.run import InterruptedRunError


class Own(nn.Module):
    """A model with dropout, which draws random numbers at every step."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Conv2d(4, 8, 3, 2, 1)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(self.stem(images)).mean((2, 3)))
        return logits


OWN = {"backbone": "somewhere:Own", "branches": "n", "exits": "stem"}
EACH_STEP = {"save_minutes": 0, "distill": "wed"}


@pytest.mark.parametrize(
    ("options", "stop"),
    [
        ({}, (1, 3)),
        ({"distill": "wed"}, (2, 3)),
        (EACH_STEP, (1, 2)),
        (EACH_STEP, (2, 3)),
        ({**EACH_STEP, "strategy": "branches-only"}, (3, 2)),
        ({"strategy": "branches-only"}, (2, 1)),
        ({"strategy": "stage-wise", "epochs": 1}, (3, 1)),
        ({**OWN, "save_minutes": 0}, (2, 2)),
    ],
)
def test_a_run_goes_on_where_it_was_saved_to_the_same_result(
    tmp_path: Path, tiny_config: MakeConfig, options: dict[str, Any], stop: tuple[int, int]
) -> None:
    config, model = tiny_config(lr=0.05, **options), Own if "exits" in options else None
    whole = train(config, tmp_path / "whole", model=model)
    (epoch, step), parts = stop, tmp_path / "parts"
    place = f"epoch {epoch - 1}" if epoch > 1 else "the start"
    steps = ""
    if config.save_minutes == 0:
        place, steps = f"step {step - 1} of 3 in epoch {epoch}", f" and {step - 1} steps"
    message = rf"interrupted: .*last\.pt holds {place}; continue it with --resume"
    with pytest.raises(InterruptedRunError, match=message) as caught:
        train(config, parts, model=model, progress=Listener(stop))
    assert caught.value.exit_code == 130
    assert (parts / "ckpt.pt").exists() == (epoch > 1)
    torch.rand(3)  # other random numbers in between change nothing
    listener = Listener()
    result = train(config, parts, model=model, resume=True, progress=listener)
    total = len(whole.history)
    assert listener.remarks == [f"continuing after epoch {epoch - 1}{steps} of {total}"]
    first = listener.statuses[0]
    assert (first.epoch, first.step) == (epoch, step if steps else 1)
    for before, after in zip(whole.history, result.history, strict=True):
        times = {"samples_per_second": 0, "data_wait_share": 0}
        assert replace(before, **times) == replace(after, **times)
    assert len((parts / "metrics.jsonl").read_text().splitlines()) == total
    for name in ("last.pt", "ckpt.pt"):
        assert same_weights(tmp_path / "whole" / name, parts / name)


def test_weights_that_are_no_numbers_are_not_saved(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of a step is finite when the step itself goes wrong."""
    step, taken = torch.optim.SGD.step, itertools.count(1)

    def poisoned(self: torch.optim.SGD, *arguments: Any) -> None:
        step(self, *arguments)
        if next(taken) == 5:
            self.param_groups[0]["params"][0].data.fill_(float("nan"))

    monkeypatch.setattr(torch.optim.SGD, "step", poisoned)
    message = r"the weights became .* in epoch 2, step 2: .* holds step 1 of 3 in epoch 2$"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(save_minutes=0), tmp_path / "run")
    weights = load_checkpoint(tmp_path / "run" / "last.pt").weights
    assert all(value.isfinite().all() for value in weights.values())


def put(value: object, *place: object) -> Callable[[Any], None]:
    """Return what puts a value into a place of a run's state."""

    def change(state: Any) -> None:
        for key in place[:-1]:
            state = state[key]
        state[place[-1]] = value

    return change


MOMENTUM = ("stepper", "optimizer", "state", 0, "momentum_buffer")
GROUPS = ("stepper", "optimizer", "param_groups")


def test_a_state_that_is_none(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(save_minutes=0)
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path, progress=Listener((2, 2)))
    whole = torch.load(tmp_path / "last.pt", weights_only=True)
    for change, message in (
        (put(5, "history"), "history: expected a list, got 5"),
        (put(7, "history", 0, "epoch"), "history: expected every exit's accuracy in epoch 1"),
        (put({}, "history", 0, "accuracy"), "history: expected every exit's accuracy in epoch 1"),
        (put([1.0], "sums", "correct"), "does not fit the network that the run trains"),
        (put(None, "stepper", "optimizer"), "does not fit"),
        (put([], *GROUPS), "does not fit"),
        (put("1", *GROUPS, 0, "lr"), "does not fit"),
        (put(math.nan, *GROUPS, 0, "lr"), "does not fit"),
        (put({}, "stepper", "optimizer", "state", 0), "does not fit"),
        (put({"momentum_buffer": 1}, "stepper", "optimizer", "state", 999), "does not fit"),
        (put(torch.zeros(3), *MOMENTUM), "does not fit"),
        (put(torch.full((16, 3, 3, 3), math.inf), *MOMENTUM), "does not fit"),
        (put("later", "stepper", "scheduler", "last_epoch"), "does not fit"),
        (put(None, "stepper", "scaler"), "does not fit"),
    ):
        content = copy.deepcopy(whole)
        change(content["run"])
        torch.save(content, tmp_path / "last.pt")
        with pytest.raises(CheckpointError, match=message):
            train(config, tmp_path, resume=True)


def test_a_state_of_another_version_of_torch(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """What it stores besides is left out, what it does not store stays as it is."""
    config = tiny_config(save_minutes=0)
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path / "parts", progress=Listener((2, 2)))
    content = torch.load(tmp_path / "parts" / "last.pt", weights_only=True)
    stepper = content["run"]["stepper"]
    stepper["scheduler"]["step"] = "a method of ours"
    del stepper["optimizer"]["param_groups"][0]["fused"]
    torch.save(content, tmp_path / "parts" / "last.pt")
    train(config, tmp_path / "parts", resume=True)
    assert same_weights(tmp_path / "whole" / "last.pt", tmp_path / "parts" / "last.pt")


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from edgeexit.data import DataConfig

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    config = TrainConfig(
        *("resnet20", "1+n", DataConfig("digits", input_size=(3, 8, 8))),
        epochs=2,
        seed=3,
        device="cpu",
        save_minutes=0,
    )
    whole = train(config, tmp_path / "whole")
    run = tmp_path / "killed"
    program = (
        "import sys; from pathlib import Path; from edgeexit.data import DataConfig;"
        "from edgeexit.training import TrainConfig, train; import torch; torch.set_num_threads(1);"
        "config = TrainConfig('resnet20', '1+n', DataConfig('digits', input_size=(3, 8, 8)),"
        "epochs=2, seed=3, device='cpu', save_minutes=0);"
        f"train(config, Path({str(run)!r}), resume=Path({str(run / 'last.pt')!r}).exists())"
    )
    delays = [0.1, 0.35, 0.8, 0.05, 0.5]
    for delay in delays:
        process = subprocess.Popen([sys.executable, "-c", program], env=environment)
        seen = (run / "last.pt").stat().st_mtime_ns if (run / "last.pt").exists() else 0
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (run / "last.pt").exists() and (run / "last.pt").stat().st_mtime_ns != seen:
                break
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        load_checkpoint(run / "last.pt")  # whole at any moment
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert same_weights(whole.last, run / "last.pt")
