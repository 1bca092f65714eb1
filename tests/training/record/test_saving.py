"""Runs that are stopped within an epoch, whatever stops them."""

from __future__ import annotations

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

from edgeexit.errors import CheckpointError
from edgeexit.training import TrainConfig, load_checkpoint, train
from edgeexit.training.record.progress import RunPlan, StepStatus
from edgeexit.training.run import InterruptedRunError

MakeConfig = Callable[..., TrainConfig]


class StopAt:
    def __init__(self, epoch: int = 0, step: int = 0) -> None:
        self.place = (epoch, step)
        self.lines: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def begin(self, plan: RunPlan) -> None: ...

    def remark(self, text: str) -> None:
        self.lines.append(text)

    def step(self, status: StepStatus) -> None:
        self.steps.append((status.epoch, status.step))
        if (status.epoch, status.step) == self.place:
            raise KeyboardInterrupt


@pytest.mark.parametrize("strategy", ["coop", "branches-only"])
@pytest.mark.parametrize("place", [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_a_run_goes_on_within_an_epoch(
    tmp_path: Path, tiny_config: MakeConfig, strategy: str, place: tuple[int, int]
) -> None:
    """Saved after every step: what was done before the one that was stopped is not done again."""
    config = tiny_config(strategy=strategy, epochs=2, lr=0.05, distill="wed", save_minutes=0)
    whole = train(config, tmp_path / "whole")
    parts = tmp_path / "parts"
    epoch, step = place
    message = rf"last\.pt holds step {step - 1} of 3 in epoch {epoch}; continue it with --resume"
    with pytest.raises(InterruptedRunError, match=message):
        train(config, parts, progress=StopAt(*place))
    listener = StopAt()
    result = train(config, parts, resume=True, progress=listener)
    assert listener.lines == [
        f"continuing after epoch {epoch - 1} and {step - 1} steps of "
        f"{4 if strategy == 'branches-only' else 2}"
    ]
    assert listener.steps[0] == place
    for first, second in zip(whole.history, result.history, strict=True):
        assert replace(first, samples_per_second=0, data_wait_share=0) == (
            replace(second, samples_per_second=0, data_wait_share=0)
        )
    weights = [load_checkpoint(run / "last.pt").weights for run in (tmp_path / "whole", parts)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_weights_that_are_no_numbers_are_not_saved(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of a step is finite when the step itself goes wrong."""
    from edgeexit.errors import TrainingError

    made: list[torch.optim.SGD] = []

    class Poisoned(torch.optim.SGD):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            made.append(self)
            self.register_step_post_hook(self.poison)
            self.count = 0

        def poison(self, *_: object) -> None:
            self.count += 1
            if self.count == 5:
                self.param_groups[0]["params"][0].data.fill_(float("nan"))

    monkeypatch.setattr(torch.optim, "SGD", Poisoned)
    message = r"the weights became .* in epoch 2, step 2: .* holds step 1 of 3 in epoch 2$"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(save_minutes=0), tmp_path / "run")
    assert made
    weights = load_checkpoint(tmp_path / "run" / "last.pt").weights
    assert all(value.isfinite().all() for value in weights.values())


def test_nothing_is_saved_within_a_short_epoch(tmp_path: Path, tiny_config: MakeConfig) -> None:
    with pytest.raises(InterruptedRunError, match=r"last\.pt holds epoch 1; continue it"):
        train(tiny_config(), tmp_path / "run", progress=StopAt(2, 3))


def put(value: object, *place: object) -> Callable[[Any], None]:
    """Return what puts a value into a place of a run's state."""

    def change(state: Any) -> None:
        for key in place[:-1]:
            state = state[key]
        state[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(5, "history"), "history: expected a list, got 5"),
        (put(7, "history", 0, "epoch"), "history: expected every exit's accuracy in epoch 1"),
        (put({}, "history", 0, "accuracy"), "history: expected every exit's accuracy in epoch 1"),
        (put([1.0], "sums", "correct"), "does not fit the network that the run trains"),
        (put(None, "stepper", "optimizer"), "does not fit"),
        (put([], "stepper", "optimizer", "param_groups"), "does not fit"),
        (put("1", "stepper", "optimizer", "param_groups", 0, "lr"), "does not fit"),
        (put(math.nan, "stepper", "optimizer", "param_groups", 0, "lr"), "does not fit"),
        (put({}, "stepper", "optimizer", "state", 0), "does not fit"),
        (put({"momentum_buffer": 1}, "stepper", "optimizer", "state", 999), "does not fit"),
        (
            put(torch.zeros(3), "stepper", "optimizer", "state", 0, "momentum_buffer"),
            "does not fit",
        ),
        (
            put(
                torch.full((16, 3, 3, 3), math.inf),
                *("stepper", "optimizer", "state", 0),
                "momentum_buffer",
            ),
            "does not fit",
        ),
        (put("later", "stepper", "scheduler", "last_epoch"), "does not fit"),
        (put(None, "stepper", "scaler"), "does not fit"),
    ],
)
def test_a_state_that_is_none(
    tmp_path: Path, tiny_config: MakeConfig, change: Callable[[Any], None], message: str
) -> None:
    config = tiny_config(save_minutes=0)
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path, progress=StopAt(2, 2))
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    change(content["run"])
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=message):
        train(config, tmp_path, resume=True)


def test_a_state_of_another_version_of_torch(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """What it stores besides is left out, what it does not store stays as it is."""
    config = tiny_config(save_minutes=0)
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path / "parts", progress=StopAt(2, 2))
    content = torch.load(tmp_path / "parts" / "last.pt", weights_only=True)
    stepper = content["run"]["stepper"]
    stepper["scheduler"]["step"] = "a method of ours"
    del stepper["optimizer"]["param_groups"][0]["fused"]
    torch.save(content, tmp_path / "parts" / "last.pt")
    train(config, tmp_path / "parts", resume=True)
    whole, parts = (
        load_checkpoint(tmp_path / run / "last.pt").weights for run in ("whole", "parts")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


COMMAND = [
    *("-m", "edgeexit", "train", "--backbone", "resnet20", "--branches", "1+n", "--dataset"),
    *("digits", "--input-size", "8", "--epochs", "2", "--batch-size", "64", "--device", "cpu"),
    *("--seed", "3"),
]


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
    first, second = (load_checkpoint(path / "last.pt").weights for path in (whole.last.parent, run))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
