"""Batches of an epoch's training images, and the seeds of everything random in a run.

Every seed is derived from the run's seed and the place in the run: the order from the epoch, an
image's augmentation from the epoch and its index, dropout from the step. Therefore a run can
resume from any step without stored random state, and augmentation and order do not depend on the
number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from edgeexit.data.dataset import ImageDataset
from edgeexit.data.seeded import Seeded
from edgeexit.training.distributed import World
from edgeexit.training.settings.config import TrainConfig


def load_batches(
    images: ImageDataset, config: TrainConfig, world: World, epoch: int, first_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Load this process's batches of an epoch: images (n, C, H, W) and targets (n,) int64.

    Args:
        images: all training images.
        config: resolved; every step has ``config.accumulate`` batches.
        world: the training processes.
        epoch: counted from 1.
        first_step: counted from 0; earlier steps are skipped.
    """
    seed = seed_at(config.seed, epoch)
    order = epoch_batches(
        len(images),
        config.batch_size,
        seed=seed,
        rank=world.rank,
        processes=world.size,
        parts=config.accumulate,
        first_step=first_step,
    )
    loader = DataLoader(
        Seeded(images, seed),
        batch_sampler=order,
        num_workers=config.workers,
        pin_memory=world.device.type == "cuda",
        generator=torch.Generator(),  # the loader draws an unused seed; keep torch's state
    )
    return iter(loader)


def seed_at(seed: int, *place: int) -> int:
    """Return the seed for a place in a run: 0 (its start), an epoch, or epoch, step and rank."""
    return int(np.random.SeedSequence([seed, *place]).generate_state(1)[0])


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
