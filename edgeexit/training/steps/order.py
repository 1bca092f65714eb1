"""The order of an epoch's training images, divided into steps and processes."""

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
    """Return the image indices of one process's batches in an epoch, in order.

    A step has the same ``batch_size`` images for any number of processes and parts; each process
    loads its share. Images left over after the last full step are not used in this epoch. The
    order depends only on ``seed``, so that an epoch can resume from any step.

    Args:
        images: number of training images.
        batch_size: images per step, a multiple of ``processes * parts``.
        seed: seed of the epoch.
        rank: rank of the process.
        processes: number of training processes.
        parts: batches that a process accumulates in a step.
        first_step: counted from 0; earlier steps are skipped.

    Returns:
        ``parts`` batches of ``batch_size / processes / parts`` indices for each step.
    """
    steps = images // batch_size
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    shares = order[: steps * batch_size].reshape(steps, parts, processes, -1)
    batches: list[list[int]] = shares[first_step:, :, rank].flatten(0, 1).tolist()
    return batches
