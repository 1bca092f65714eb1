from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime.system.files import temporary_path
from support.registries import keep_registries

from edgeexit.data import load_data
from edgeexit.errors import BusyError, CheckpointError, InputError, SpecError, TrainingError
from edgeexit.evaluation.predictions import predict
from edgeexit.models import registry as model_registry
from edgeexit.models.weights.filling import LoadedWeights
from edgeexit.training import TrainConfig, load_checkpoint, stored_config, train
from edgeexit.training.record.metrics import EpochRecord, best_record
from edgeexit.training.record.progress import RunPlan, StepStatus
from edgeexit.training.run import InterruptedRunError
from edgeexit.training.settings.config_file import write_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MakeConfig = Callable[..., TrainConfig]


class Listener:
    """Keeps what a run reports; stops it where asked."""

    def __init__(self, stop_in_epoch: int = 0) -> None:
        self.stop_in_epoch = stop_in_epoch
        self.remarks: list[str] = []
        self.batches: list[tuple[int, int, int]] = []

    def begin(self, plan: RunPlan) -> None: ...

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def step(self, status: StepStatus) -> None:
        self.batches.append((status.epoch, status.step, status.steps))
        if status.epoch == self.stop_in_epoch and status.step == status.steps:
            raise KeyboardInterrupt


def _lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_leaves_its_files(tmp_path: Path, tiny_config: MakeConfig) -> None:
    records: list[EpochRecord] = []
    listener = Listener()
    config = tiny_config(epochs=6, distill="wed", lr=0.05)
    result = train(config, tmp_path / "run", on_epoch=records.append, progress=listener)
    files = sorted(path.name for path in (tmp_path / "run").iterdir())
    files = [name for name in files if name != "tensorboard"]  # where it is installed
    assert files == ["ckpt.pt", "config.toml", "last.pt", "metrics.jsonl"]
    assert tuple(records) == result.history
    assert not result.finished_before
    # three batches of 8, the single image over is dropped
    assert listener.batches[:3] == [(1, 1, 3), (1, 2, 3), (1, 3, 3)]
    assert records[-1].loss < records[0].loss / 2
    assert result.best.mean_accuracy > 0.9
    assert [record.lr for record in records] == pytest.approx(
        [0.05 * (1 - epoch / 6) for epoch in range(6)]
    )


def test_metrics_have_a_line_per_epoch(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(distill="wed"), tmp_path)
    lines = _lines(tmp_path)
    assert [line["epoch"] for line in lines] == [1, 2]
    fields = {"epoch", "loss", "lr", "accuracy", "teacher_accuracy", "samples_per_second"}
    fields |= {"phase", "data_wait_share"}
    assert set(lines[0]) == fields
    assert list(lines[0]["accuracy"]) == ["exit1", "exit2", "final"]  # type: ignore[call-overload]
    assert 0 <= lines[0]["teacher_accuracy"] <= 1  # type: ignore[operator]


def test_the_configuration_is_stored_resolved(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(epochs=1, device="auto"), tmp_path)
    stored = tomllib.loads((tmp_path / "config.toml").read_text())
    assert stored["data"]["input_size"] == [3, 8, 8]
    assert stored["device"] in ("cpu", "cuda")
    assert stored["lr"] == 0.01
    assert stored_config(tmp_path).data.input_size == (3, 8, 8)


def test_the_best_checkpoint_has_the_accuracy_that_it_states(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(epochs=4, lr=0.05)
    result = train(config, tmp_path)
    checkpoint = load_checkpoint(result.checkpoint)
    assert checkpoint.training["epoch"] == result.best.epoch
    assert checkpoint.metrics["accuracy"] == result.best.accuracy
    assert checkpoint.thresholds == {"exit1": 0.9, "exit2": 0.9}
    assert checkpoint.class_names == ("upper", "lower")
    predictions = predict(checkpoint.build(), load_data(config.data).splits["val"])
    shares = dict(zip(predictions.exit_names, predictions.correct.mean(axis=1), strict=True))
    assert shares == pytest.approx(result.best.accuracy)
    assert load_checkpoint(result.last).training["epoch"] == 4


def test_the_plain_backbone_is_trained_the_same_way(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    result = train(tiny_config(branches="none"), tmp_path)
    assert list(result.best.accuracy) == ["final"]
    assert load_checkpoint(result.checkpoint).thresholds == {}


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, tiny_config: MakeConfig, stop: int
) -> None:
    config = tiny_config(epochs=3, distill="wed", lr=0.05)
    whole = train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        train(config, tmp_path / "parts", progress=Listener(stop_in_epoch=stop + 1))
    torch.rand(3)  # other random numbers in between change nothing
    listener = Listener()
    parts = train(config, tmp_path / "parts", resume=True, progress=listener)
    assert listener.remarks == [f"continuing after epoch {stop} of 3"]
    assert listener.batches[0] == (stop + 1, 1, 3)
    for name in ("last.pt", "ckpt.pt"):
        first, second = (load_checkpoint(tmp_path / run / name) for run in ("whole", "parts"))
        assert first.training["epoch"] == second.training["epoch"]
        assert first.metrics == second.metrics
        for key, value in first.weights.items():
            assert torch.equal(value, second.weights[key]), (name, key)
    assert [r.loss for r in whole.history] == [r.loss for r in parts.history]


def test_the_seed_decides_the_result(tmp_path: Path, tiny_config: MakeConfig) -> None:
    losses = [
        train(tiny_config(epochs=1, seed=seed), tmp_path / str(i)).history[0].loss
        for i, seed in enumerate((0, 0, 1))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_lines_after_the_resumed_epoch_are_cut_off(tmp_path: Path, tiny_config: MakeConfig) -> None:
    with pytest.raises(InterruptedRunError):
        train(tiny_config(), tmp_path, progress=Listener(stop_in_epoch=2))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "half a li')
    train(tiny_config(), tmp_path, resume=True)
    assert [line["epoch"] for line in _lines(tmp_path)] == [1, 2]


def test_ctrl_c_says_what_is_saved(tmp_path: Path, tiny_config: MakeConfig) -> None:
    message = r"interrupted: .*last\.pt holds epoch 1; continue it with --resume"
    with pytest.raises(InterruptedRunError, match=message) as caught:
        train(tiny_config(), tmp_path, progress=Listener(stop_in_epoch=2))
    assert caught.value.exit_code == 130
    assert load_checkpoint(tmp_path / "last.pt").training["epoch"] == 1


def test_ctrl_c_in_the_first_epoch(tmp_path: Path, tiny_config: MakeConfig) -> None:
    with pytest.raises(InterruptedRunError, match=r"last\.pt holds the start; continue it"):
        train(tiny_config(), tmp_path, progress=Listener(stop_in_epoch=1))
    assert not (tmp_path / "ckpt.pt").exists()
    listener = Listener()
    train(tiny_config(), tmp_path, resume=True, progress=listener)
    assert listener.remarks == ["continuing after epoch 0 of 2"]
    assert listener.batches[0] == (1, 1, 3)


def test_a_run_is_never_overwritten(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(epochs=1), tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    message = "holds a run: continue it with --resume or choose another -o"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(epochs=1), tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl"])
def test_somebody_elses_files_are_not_overwritten(
    tmp_path: Path, tiny_config: MakeConfig, name: str
) -> None:
    (tmp_path / name).write_text("# mine\n")
    with pytest.raises(TrainingError, match=rf"{name} would be overwritten by the run's own: move"):
        train(tiny_config(epochs=1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "# mine\n"


class SecondRun:
    """Starts another run in the folder of the one that it listens to."""

    def __init__(self, config: TrainConfig, output: Path, resume: bool) -> None:
        self.config, self.output, self.resume = config, output, resume
        self.refused: list[str] = []

    def begin(self, plan: RunPlan) -> None: ...

    def remark(self, text: str) -> None: ...

    def step(self, status: StepStatus) -> None:
        with pytest.raises(BusyError) as raised:
            train(self.config, self.output, resume=self.resume)
        self.refused.append(str(raised.value))


@pytest.mark.parametrize("resume", [False, True])
def test_second_run_in_the_same_folder_is_refused(
    tmp_path: Path, tiny_config: MakeConfig, resume: bool
) -> None:
    output = tmp_path / "run"
    second = SecondRun(tiny_config(seed=1), output, resume)
    result = train(tiny_config(epochs=1), output, progress=second)
    message = f"{output}: process {os.getpid()} is writing to it; wait until it has ended"
    assert len(second.refused) == 3
    assert all(text.startswith(message) for text in second.refused)
    assert load_checkpoint(result.last).training["config"]["seed"] == 0
    assert stored_config(output).seed == 0
    assert not [path for path in output.iterdir() if "lock" in path.name]


def test_run_that_cannot_start_leaves_no_folder(tmp_path: Path, tiny_config: MakeConfig) -> None:
    with pytest.raises(TrainingError, match="holds no run to continue"):
        train(tiny_config(), tmp_path / "runs" / "run", resume=True)
    with pytest.raises(SpecError):
        train(tiny_config(branches="1+1+1+1+1"), tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """Before the first ``last.pt`` there is nothing to go on from, and nothing to lose."""
    write_config(tmp_path / "config.toml", tiny_config())
    (tmp_path / "metrics.jsonl").touch()
    for name in (".last.0123abcd.pt", ".ckpt.89abcdef.pt"):  # older versions wrote these
        (tmp_path / name).write_bytes(b"half")
    for name in ("last.pt", "ckpt.pt", "metrics.jsonl", "config.toml"):
        temporary_path(tmp_path / name).write_bytes(b"half")
    train(tiny_config(epochs=1), tmp_path)
    files = {path.name for path in tmp_path.iterdir()} - {"tensorboard"}
    assert files == {"ckpt.pt", "config.toml", "last.pt", "metrics.jsonl"}


def test_nothing_to_resume(tmp_path: Path, tiny_config: MakeConfig) -> None:
    message = r"holds no run to continue, last\.pt is missing: start one without --resume"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(), tmp_path, resume=True)


def test_a_finished_run_says_so(tmp_path: Path, tiny_config: MakeConfig) -> None:
    first = train(tiny_config(epochs=1), tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    listener = Listener()
    again = train(tiny_config(epochs=1), tmp_path, resume=True, progress=listener)
    assert listener.remarks == [f"{tmp_path} is finished: epoch 1 of 1 is done"]
    assert again.finished_before
    assert again.history == first.history
    assert (tmp_path / "last.pt").read_bytes() == before


def test_other_options_are_named(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(epochs=1)
    train(config, tmp_path)
    other = replace(config, epochs=3, weight_decay=0.5)
    message = r"was started with --epochs 1, got 3; --weight-decay 0.0001, got 0.5: omit the"
    with pytest.raises(TrainingError, match=message):
        train(other, tmp_path, resume=True)


def test_an_option_of_the_data_is_named(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(epochs=1)
    train(config, tmp_path)
    other = replace(config, data=replace(config.data, hold_out=9))
    with pytest.raises(TrainingError, match="was started with --hold-out by default, got 9: omit"):
        train(other, tmp_path, resume=True)


def test_the_data_may_have_moved(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(epochs=1)
    train(config, tmp_path)
    moved = replace(config, data=replace(config.data, data_dir="elsewhere"))
    assert train(moved, tmp_path, resume=True).finished_before


def test_a_plain_checkpoint_is_no_run(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(epochs=1), tmp_path)
    (tmp_path / "ckpt.pt").replace(tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt: not the state of a run"):
        train(tiny_config(epochs=1), tmp_path, resume=True)


def test_a_run_without_its_best_checkpoint(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(epochs=1), tmp_path)
    (tmp_path / "ckpt.pt").unlink()
    with pytest.raises(TrainingError, match=r"ckpt\.pt is missing, the best epoch of the run"):
        train(tiny_config(epochs=1), tmp_path, resume=True)


def test_a_loss_that_is_no_number_keeps_the_last_epoch(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    message = "became infinite or not a number in epoch 1, step [0-9]+: lower --lr, now 1e.30; "
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(lr=1e30), tmp_path / "first")
    assert load_checkpoint(tmp_path / "first" / "last.pt").training["epoch"] == 0

    class Poison(Listener):
        def step(self, status: StepStatus) -> None:
            if (status.epoch, status.step) == (2, 1):  # as if a step had gone wrong
                optimizer = next(o for o in OPTIMIZERS if o.state)
                optimizer.param_groups[0]["params"][0].data.fill_(float("nan"))

    OPTIMIZERS.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "SGD", _RecordedSGD)
        with pytest.raises(TrainingError, match=r"loss .* epoch 2, step 2.*last\.pt holds epoch 1"):
            train(tiny_config(), tmp_path / "second", progress=Poison())
    weights = load_checkpoint(tmp_path / "second" / "last.pt").weights
    assert all(value.isfinite().all() for value in weights.values())


OPTIMIZERS: list[torch.optim.Optimizer] = []
_SGD = torch.optim.SGD


class _RecordedSGD(_SGD):
    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        OPTIMIZERS.append(self)


def test_equal_epochs_the_later_is_best() -> None:
    shares = [{"exit1": 0.5, "final": 0.9}, {"exit1": 0.9, "final": 0.5}, {"exit1": 0, "final": 1}]
    history = [EpochRecord(i, 1.0, 0.1, s, None, 1.0) for i, s in enumerate(shares, start=1)]
    assert best_record(history).epoch == 2


def test_pretrained_weights(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpecError, match="resnet20 has no pretrained weights: omit --pretrained"):
        train(tiny_config(pretrained=True), tmp_path / "none")

    def load(backbone: torch.nn.Module) -> LoadedWeights:
        with torch.no_grad():
            next(backbone.parameters()).fill_(0.0)
        return LoadedWeights("weights of zeros", ())

    entry = replace(model_registry.backbone_entry("resnet20"), load_pretrained=load)
    keep_registries(monkeypatch, entry)
    listener = Listener()
    config = tiny_config(pretrained=True, epochs=1, lr=1e-12)
    result = train(config, tmp_path / "zeros", progress=listener)
    assert listener.remarks == ["starting from weights of zeros"]
    checkpoint = load_checkpoint(result.checkpoint)
    assert checkpoint.training["started_from"] == "weights of zeros"
    assert np.abs(next(iter(checkpoint.weights.values())).numpy()).max() < 1e-6


def test_cuda_that_is_not_there(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="torch finds no CUDA device here; use --device cpu"):
        train(tiny_config(device="cuda"), tmp_path)
