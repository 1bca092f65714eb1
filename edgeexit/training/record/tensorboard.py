"""Metrics for TensorBoard, if it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeexit.training.record.reports import EpochRecord

FOLDER = "tensorboard"


@contextmanager
def tensorboard_log(run: Path, epochs_done: int) -> Iterator[Callable[[EpochRecord], None]]:
    """Yield what adds an epoch to the curves of a run; it does nothing without TensorBoard.

    Args:
        run: the run's folder.
        epochs_done: number of finished epochs; points of later epochs, which an interrupted
            process may have written, are hidden.
    """
    if importlib.util.find_spec("tensorboard") is None:
        yield lambda record: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run / FOLDER), purge_step=epochs_done + 1)

    def write(record: EpochRecord) -> None:
        scalars = {
            "loss": record.loss,
            "lr": record.lr,
            "images_per_second": record.samples_per_second,
            "data_wait_share": record.data_wait_share,
            **{f"accuracy/{name}": share for name, share in record.accuracy.items()},
        }
        if record.teacher_accuracy is not None:
            scalars["accuracy/teacher"] = record.teacher_accuracy
        for name, value in scalars.items():
            writer.add_scalar(name, value, record.epoch)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
