"""Training: configuration -> run folder with self-describing checkpoints.

``loop.train`` resolves a :class:`TrainConfig` (``settings/resolving.py``) and sets up network,
teacher and phases (``setup.py``). A ``TrainingRun`` (``run.py``) calls its ``Trainer``
(``trainer.py``) for each epoch, which trains step by step (``steps``), and saves the result in
the run's folder (``record``).
"""

from edgeexit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeexit.training.loop import stored_config, train
from edgeexit.training.record.reports import TrainResult
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
