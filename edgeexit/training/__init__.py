"""Training: configuration -> run folder with self-describing checkpoints."""

from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeexit.training.config import TrainConfig
from edgeexit.training.loop import stored_config, train
from edgeexit.training.result import TrainResult

__all__ = [
    "Checkpoint",
    "TrainConfig",
    "TrainResult",
    "load_checkpoint",
    "save_checkpoint",
    "stored_config",
    "train",
]
