"""The order of an epoch's training images: which go into which step, on which process."""

from __future__ import annotations

import torch


def epoch_batches(
    images: int,
    batch_size: int,
    *,
    seed: int,
    rank: int = 0,
    processes: int = 1,
    parts: int = 1,
    first_step: int = 0,
) -> list[list[int]]:
    """Return the indices of the batches that one process loads in an epoch, in order.

    A step has ``batch_size`` images whatever the number of processes and parts, and the same ones:
    each loads its share. What is left over after the last full step waits for another epoch. The
    order depends on ``seed`` alone, so that an epoch goes on from any step.

    Args:
        images: number of training images.
        batch_size: images per step, a multiple of ``processes * parts``.
        seed: of the epoch.
        rank: of the process.
        processes: that train together.
        parts: batches that a process accumulates in a step.
        first_step: from 0; steps before it are left out.

    Returns:
        ``parts`` batches of ``batch_size / processes / parts`` indices for each step.
    """
    steps = images // batch_size
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    shares = order[: steps * batch_size].reshape(steps, parts, processes, -1)
    batches: list[list[int]] = shares[first_step:, :, rank].flatten(0, 1).tolist()
    return batches
