from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.runs import MakeConfig

from edgeexit.training import load_checkpoint, train


class Writer:
    """Stands for torch's, which needs the package."""

    made: list[Writer] = []  # noqa: RUF012

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.purge_step = folder, purge_step
        self.scalars: dict[tuple[str, int], float] = {}
        self.closed = False
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name, step] = value

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have :class:`Writer` in the place of torch's."""
    tensorboard = ModuleType("torch.utils.tensorboard")
    tensorboard.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    monkeypatch.setitem(sys.modules, "tensorboard", sys.modules[__name__])  # is installed
    Writer.made.clear()


@pytest.mark.usefixtures("stub")
def test_every_epoch_is_logged_before_it_is_saved(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed in between goes on before the epoch, and hides its first curve."""
    saved: list[int] = []

    def flush(self: Writer) -> None:
        saved.append(load_checkpoint(tmp_path / "run" / "last.pt").training["epoch"])

    monkeypatch.setattr(Writer, "flush", flush)
    result = train(tiny_config(distill="wed"), tmp_path / "run")
    assert saved == [0, 1]
    (writer,) = Writer.made
    assert writer.folder == str(tmp_path / "run" / "tensorboard")
    assert writer.purge_step == 1
    assert writer.closed
    names = ("loss", "lr", "images_per_second", "data_wait_share")
    exits = ("exit1", "exit2", "final", "teacher")
    expected = {*names, *(f"accuracy/{name}" for name in exits)}
    assert set(writer.scalars) == {(name, epoch) for name in expected for epoch in (1, 2)}
    assert writer.scalars["accuracy/exit1", 2] == result.history[1].accuracy["exit1"]


def test_without_tensorboard_there_is_none(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    train(tiny_config(epochs=1), tmp_path / "run")
    assert not (tmp_path / "run" / "tensorboard").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_real_one_reads_what_was_written(tmp_path: Path, tiny_config: MakeConfig) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(tiny_config(), tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("loss")]
    assert losses == pytest.approx([record.loss for record in result.history], rel=1e-5)
