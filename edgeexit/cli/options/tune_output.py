"""Where ``edgeexit tune`` writes a checkpoint that nobody named: beside the one that is tuned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.training.checkpoint import Checkpoint

TUNED = ".tuned"


def tuned_path(path: Path) -> Path:
    """Return ``ckpt.tuned.pt`` for ``ckpt.pt``, and for ``ckpt.tuned.pt`` itself."""
    suffix = ".pt" if path.suffix == ".safetensors" else path.suffix
    return path.parent / f"{path.stem.removesuffix(TUNED)}{TUNED}{suffix}"


def check_replaceable(path: Path, checkpoint: Checkpoint) -> Guarantee | None:
    """Raise where ``path`` is there and is not what was tuned of the network of ``checkpoint``.

    Returns what was guaranteed of it.

    Raises:
        WriteError: so it is.
    """
    from edgeexit.errors import CheckpointError, WriteError
    from edgeexit.training.checkpoint import load_checkpoint

    if not path.exists():
        return None
    try:
        found = load_checkpoint(path)
    except CheckpointError:
        found = None
    if (
        found is None
        or "tuning" not in found.metrics
        or (found.spec, found.data) != (checkpoint.spec, checkpoint.data)
    ):
        raise WriteError(
            f"{path}: is there, and 'edgeexit tune' did not write it of this network; choose "
            "another -o"
        )
    return found.guarantee
