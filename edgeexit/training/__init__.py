"""Training: configuration -> run folder with self-describing checkpoints.

The way, in one direction: ``loop.train`` resolves a :class:`TrainConfig`
(``settings/resolving.py``) and has network, teacher and phases set up (``setup.py``). A
``TrainingRun`` (``run.py``) has a ``Trainer`` (``trainer.py``) train one epoch after another, step
by step (``steps``), and saves each into the run's folder (``record``).
"""

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
