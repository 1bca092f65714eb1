"""Data-parallel training in several processes, as started by ``torchrun``.

``torchrun`` sets RANK, LOCAL_RANK, WORLD_SIZE and the rendezvous address
(https://docs.pytorch.org/docs/stable/elastic/run.html). Without it, there is a single process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgeexit.devices import resolve_device
from edgeexit.errors import InputError


@dataclass(frozen=True, slots=True)
class World:
    """This process's place in the group of training processes.

    Attributes:
        rank: rank of this process, from 0.
        size: number of processes.
        device: device of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the only process that writes files and prints."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Return the sums over all processes, in float64."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]

    def as_main(self, flag: bool) -> bool:
        """Broadcast the main process's ``flag`` to all processes."""
        return bool(self.sum([float(flag and self.is_main)])[0])

    def share_buffers(self, module: nn.Module) -> None:
        """Broadcast the main process's buffers, such as batch norm's statistics."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)

    def parallel(self, module: nn.Module) -> DistributedDataParallel | None:
        """Return ``module`` with gradients averaged over the processes, or None for one process.

        The module gets its own process group: torch never frees the group of such a module or
        joins its threads, and a thread that finishes during interpreter shutdown aborts the
        process (https://github.com/pytorch/pytorch/issues/190489). The last collectives of a run,
        such as the validation's sums, use the default group, which is destroyed properly.
        """
        if self.size == 1:
            return None
        return DistributedDataParallel(module, process_group=dist.new_group())

    def wait(self) -> None:
        """Wait until every process has reached this point: a barrier."""
        if self.size > 1:
            self.sum([0.0])

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block in the main process first, then in the others, for example to download."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()


@contextmanager
def joined_world(device: str) -> Iterator[World]:
    """Join the process group of ``torchrun`` for the block; without it, yield a single process.

    A process group that the caller has initialized is used and not destroyed.

    Raises:
        InputError: ``device`` is not available, or there are fewer GPUs than local processes.
    """
    kind = resolve_device(device)
    ours = not dist.is_initialized() and "WORLD_SIZE" in os.environ and "RANK" in os.environ
    if not ours and not dist.is_initialized():
        yield World(0, 1, torch.device(kind))
        return
    here = _local_device(kind)
    if ours:
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), here)
    finally:
        if ours:
            dist.destroy_process_group()


def _local_device(kind: str) -> torch.device:
    if kind == "cpu":
        return torch.device("cpu")
    local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= found:
        raise InputError(
            f"expected a GPU for each process, got {found} GPUs and process {local + 1} on this "
            "machine: lower --nproc-per-node, or use --device cpu"
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    return device
