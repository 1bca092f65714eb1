"""Metrics for TensorBoard, if it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from edgeexit.training.record.metrics import EpochRecord

FOLDER = "tensorboard"


class TensorBoardLog:
    """The curves of a run.

    Args:
        folder: folder of the event files.
        epochs_done: number of finished epochs; points of later epochs, which an interrupted
            process may have written, are hidden.
    """

    def __init__(self, folder: Path, epochs_done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder), purge_step=epochs_done + 1)

    def write(self, record: EpochRecord) -> None:
        """Add an epoch."""
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
            self.writer.add_scalar(name, value, record.epoch)
        self.writer.flush()

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()


def tensorboard_log(run: Path, epochs_done: int) -> TensorBoardLog | None:
    """Return the log in a run's folder; None if TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    return TensorBoardLog(run / FOLDER, epochs_done)
