from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime.system.files import temporary_path
from support.registries import keep_registries
from support.runs import Listener, MakeConfig

from edgeexit.data import load_data
from edgeexit.errors import BusyError, CheckpointError, SpecError, TrainingError
from edgeexit.evaluation.predictions import predict
from edgeexit.models import registry as model_registry
from edgeexit.models.weights.fitting import LoadedWeights
from edgeexit.training import load_checkpoint, stored_config, train
from edgeexit.training.record.reports import EpochRecord, StepStatus, best_record
from edgeexit.training.settings.config_file import read_options, write_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_leaves_its_files(tmp_path: Path, tiny_config: MakeConfig) -> None:
    records: list[EpochRecord] = []
    listener = Listener()
    config = tiny_config(epochs=6, distill="wed", lr=0.05)
    result = train(config, tmp_path / "run", on_epoch=records.append, progress=listener)
    lines = _lines(tmp_path / "run")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    fields = {"epoch", "loss", "lr", "accuracy", "teacher_accuracy", "samples_per_second"}
    assert set(lines[0]) == {*fields, "phase", "data_wait_share"}
    assert list(lines[0]["accuracy"]) == ["exit1", "exit2", "final"]  # type: ignore[call-overload]
    files = sorted(path.name for path in (tmp_path / "run").iterdir())
    files = [name for name in files if name != "tensorboard"]  # where it is installed
    assert files == ["ckpt.pt", "config.toml", "last.pt", "metrics.jsonl"]
    assert tuple(records) == result.history
    assert not result.finished_before
    # three batches of 8, the single image over is dropped
    steps = [(status.epoch, status.step, status.steps) for status in listener.statuses]
    assert steps[:3] == [(1, 1, 3), (1, 2, 3), (1, 3, 3)]
    assert records[-1].loss < records[0].loss / 2
    assert result.best.mean_accuracy > 0.9
    assert [record.lr for record in records] == pytest.approx(
        [0.05 * (1 - epoch / 6) for epoch in range(6)]
    )


def test_the_configuration_is_stored_resolved(tmp_path: Path, tiny_config: MakeConfig) -> None:
    train(tiny_config(epochs=1, device="auto"), tmp_path)
    stored = tomllib.loads((tmp_path / "config.toml").read_text())
    assert stored["data"]["input_size"] == [3, 8, 8]
    assert stored["device"] in ("cpu", "cuda")
    assert stored["lr"] == 0.01
    assert stored_config(tmp_path).data.input_size == (3, 8, 8)


def test_a_run_on_the_data_of_a_checkpoint(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(epochs=1)
    data = load_checkpoint(train(config, tmp_path / "first").checkpoint).data
    train(replace(config, data=data), tmp_path / "run")
    assert read_options(tmp_path / "run" / "config.toml")["data"]["name"] == "tiny"
    assert train(config, tmp_path / "run", resume=True).finished_before


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


@pytest.mark.parametrize("name", ["config.toml", "metrics.jsonl"])
def test_somebody_elses_files_are_not_overwritten(
    tmp_path: Path, tiny_config: MakeConfig, name: str
) -> None:
    (tmp_path / name).write_text("# mine\n")
    with pytest.raises(TrainingError, match=rf"{name} would be overwritten by the run's own: move"):
        train(tiny_config(epochs=1), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "# mine\n"


@pytest.mark.parametrize("resume", [False, True])
def test_second_run_in_the_same_folder_is_refused(
    tmp_path: Path, tiny_config: MakeConfig, resume: bool
) -> None:
    output, refused = tmp_path / "run", list[str]()

    class SecondRun(Listener):
        def step(self, status: StepStatus) -> None:
            with pytest.raises(BusyError) as raised:
                train(tiny_config(seed=1), output, resume=resume)
            refused.append(str(raised.value))

    result = train(tiny_config(epochs=1), output, progress=SecondRun())
    message = f"{output}: process {os.getpid()} is writing to it; wait until it has ended"
    assert len(refused) == 3
    assert all(text.startswith(message) for text in refused)
    assert load_checkpoint(result.last).training["config"]["seed"] == 0
    assert stored_config(output).seed == 0
    assert not [path for path in output.iterdir() if "lock" in path.name]


def test_run_that_cannot_start_leaves_no_folder(tmp_path: Path, tiny_config: MakeConfig) -> None:
    message = r"holds no run to continue, last\.pt is missing: start one without --resume"
    with pytest.raises(TrainingError, match=message):
        train(tiny_config(), tmp_path / "runs" / "run", resume=True)
    with pytest.raises(SpecError):
        train(tiny_config(branches="1+1+1+1+1"), tmp_path / "runs" / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """Before the first ``last.pt`` there is nothing to go on from, and nothing to lose."""
    write_config(tmp_path / "config.toml", tiny_config())
    (tmp_path / "metrics.jsonl").touch()
    for name in ("last.pt", "ckpt.pt", "metrics.jsonl", "config.toml"):
        temporary_path(tmp_path / name).write_bytes(b"half")
    train(tiny_config(epochs=1), tmp_path)
    files = {path.name for path in tmp_path.iterdir()} - {"tensorboard"}
    assert files == {"ckpt.pt", "config.toml", "last.pt", "metrics.jsonl"}


def test_a_finished_run_stays_as_it_is(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(epochs=1)
    first = train(config, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(TrainingError, match="holds a run: continue it with --resume or choose an"):
        train(config, tmp_path)
    listener = Listener()
    moved = replace(config, data=replace(config.data, data_dir="elsewhere"))
    again = train(moved, tmp_path, resume=True, progress=listener)
    assert listener.remarks == [f"{tmp_path} is finished: epoch 1 of 1 is done"]
    assert again.finished_before
    assert again.history == first.history
    for changes, message in (
        (
            {"epochs": 3, "weight_decay": 0.5},
            r"was started with --epochs 1, got 3; --weight-decay 0\.0001, got 0\.5: omit the",
        ),
        (
            {"data": replace(config.data, hold_out=9)},
            "was started with --hold-out by default, got 9: omit",
        ),
    ):
        with pytest.raises(TrainingError, match=message):
            train(replace(config, **changes), tmp_path, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_run_that_lost_a_checkpoint(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(epochs=1)
    best = train(config, tmp_path).checkpoint
    best.rename(tmp_path / "kept.pt")
    with pytest.raises(TrainingError, match=r"ckpt\.pt is missing, the best epoch of the run"):
        train(config, tmp_path, resume=True)
    (tmp_path / "kept.pt").rename(tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match=r"last\.pt: not the state of a run"):
        train(config, tmp_path, resume=True)


def test_a_loss_that_is_no_number_keeps_the_last_save(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    message = (
        r"loss became infinite or not a number in epoch 1, step [0-9]+: lower --lr, now 1e.30; "
    )
    with pytest.raises(TrainingError, match=rf"{message}.*last\.pt holds the start$"):
        train(tiny_config(lr=1e30), tmp_path)
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    assert checkpoint.training["epoch"] == 0
    assert all(value.isfinite().all() for value in checkpoint.weights.values())


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
