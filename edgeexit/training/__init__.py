"""Training: configuration -> run folder with self-describing checkpoints."""

from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeexit.training.config import TrainConfig
from edgeexit.training.loop import TrainResult, stored_config, train

__all__ = [
    "Checkpoint",
    "TrainConfig",
    "TrainResult",
    "load_checkpoint",
    "save_checkpoint",
    "stored_config",
    "train",
]
