"""Training: configuration -> run folder with self-describing checkpoints."""

from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeexit.training.loop import stored_config, train
from edgeexit.training.record.result import TrainResult
from edgeexit.training.settings.config import TrainConfig

__all__ = [
    "Checkpoint",
    "TrainConfig",
    "TrainResult",
    "load_checkpoint",
    "save_checkpoint",
    "stored_config",
    "train",
]
