"""Placement of the tensors between graphs in device memory, and moves of the rows that stay.

Graphs run one after another, so a tensor's memory is free again after its last reader: a chain of
stages needs the memory of its two largest neighbors. Every tensor has a fixed address. When samples
leave, some of the others move into their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.manifest import IMAGES, Manifest, TensorInfo

ALIGNMENT_BYTES = 256
"""TensorRT's requirement for addresses."""


@dataclass(frozen=True, slots=True)
class BufferPlan:
    """Placement of the images and of all tensors between graphs, for batches of ``max_batch``.

    Attributes:
        offsets: start of each tensor, in bytes.
        row_bytes: size of one sample of each tensor.
        size_bytes: total size of the memory that they share.
        read_later: for each graph, the tensors that are written by its end and read by later
            graphs.
    """

    offsets: dict[str, int]
    row_bytes: dict[str, int]
    size_bytes: int
    read_later: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Life:
    """Lifetime of a tensor: positions of the graph that writes it and the last that reads it."""

    name: str
    size_bytes: int
    first: int
    last: int

    def meets(self, other: _Life) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan_buffers(manifest: Manifest) -> BufferPlan:
    """Place every tensor; tensors that are alive at the same time never overlap."""
    graphs = list(manifest.graphs())
    stages = {stage.name for stage in manifest.stages}
    images = TensorInfo(IMAGES, "float32", manifest.preprocessing.input_size)
    infos = {IMAGES: images}
    first, last = {IMAGES: -1}, {IMAGES: -1}  # images exist before the first graph
    for position, (name, graph) in enumerate(graphs):
        for tensor in graph.inputs:
            last[tensor.name] = position
        if name in stages:
            for tensor in graph.outputs:
                infos[tensor.name] = tensor
                first[tensor.name] = last[tensor.name] = position
    rows = {name: row_bytes(info) for name, info in infos.items()}
    lives = [
        _Life(name, aligned(rows[name] * manifest.max_batch), first[name], last[name])
        for name in infos
    ]
    offsets = _place(lives)
    read_later = {
        name: tuple(life.name for life in lives if life.first <= position < life.last)
        for position, (name, _) in enumerate(graphs)
    }
    size_bytes = max(offsets[life.name] + life.size_bytes for life in lives)
    return BufferPlan(offsets, rows, size_bytes, read_later)


def _place(lives: list[_Life]) -> dict[str, int]:
    """Give each tensor, the largest first, the lowest offset that is free during its lifetime."""
    placed: list[tuple[int, _Life]] = []
    for life in sorted(lives, key=lambda life: -life.size_bytes):
        offset = 0
        taken = [(start, other.size_bytes) for start, other in placed if other.meets(life)]
        for start, size_bytes in sorted(taken):
            if offset + life.size_bytes <= start:
                break
            offset = max(offset, start + size_bytes)
        placed.append((offset, life))
    return {life.name: offset for offset, life in placed}


def row_bytes(tensor: TensorInfo) -> int:
    """Return the size of one sample of a tensor."""
    return int(np.dtype(tensor.dtype).itemsize * np.prod(tensor.shape, dtype=np.int64))


def aligned(size_bytes: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def row_moves(rows: Sequence[int] | NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield copies (to, from, count), in order, that bring ``rows`` to the front.

    Adjacent rows are copied together, as far as a copy's source does not overlap its target.

    Args:
        rows: ``rows[i] >= i``, none twice.
    """
    numbers = [int(row) for row in rows]
    position = 0
    while position < len(numbers):
        row, count = numbers[position], 1
        most = min(row - position, len(numbers) - position)
        while count < most and numbers[position + count] == row + count:
            count += 1
        if row != position:
            yield position, row, count
        position += count
