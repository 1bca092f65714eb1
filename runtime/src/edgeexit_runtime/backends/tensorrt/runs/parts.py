"""Stages and exits for all batch sizes: one execution context and one CUDA graph per bucket.

A bucket is a batch size that is run: 1, 2, 4, 8, ..., and the bundle's largest. A batch in between
is run as the next bucket. The rows after its end hold data of earlier batches; their results are
never read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgeexit_runtime.backends.cuda.graph import CudaGraph
from edgeexit_runtime.backends.tensorrt.engines import Engine
from edgeexit_runtime.bundle.manifest import IMAGES


class Piece(Protocol):
    """Work for a stream: the run of an engine, or a copy after it.

    Methods take the stream's handle: an error's frames, which may outlive the session, would keep
    the stream object alive.
    """

    def enqueue(self, stream: int) -> None:
        """Enqueue the work, without waiting or allocating."""

    def is_capturable(self, stream: int) -> bool:
        """Whether the work can be captured, after it was run once."""

    def close(self) -> None:
        """Free its resources; closing twice is harmless."""


class Run:
    """A sequence of pieces, and the graph captured from them."""

    __slots__ = ("graph", "pieces")

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.graph: CudaGraph | None = None

    def start(self, stream: int) -> None:
        """Launch the graph, or enqueue the pieces if there is none."""
        if self.graph is not None:
            self.graph.launch(stream)
        else:
            self.enqueue(stream)

    def enqueue(self, stream: int) -> None:
        """Enqueue the pieces into a stream, in order."""
        for piece in self.pieces:
            piece.enqueue(stream)

    def is_capturable(self, stream: int) -> bool:
        """Whether all pieces can be captured, after they were run once."""
        return all(piece.is_capturable(stream) for piece in self.pieces)

    def close(self) -> None:
        """Free the graph, once. The pieces belong to their parts; other runs may share them."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None


class Part:
    """A stage or an exit: its engine, the addresses of its tensors, and its runs.

    Attributes:
        reads_images: whether the images are among its tensors.
        runs: by number of samples; numbers in the same bucket share a run.
    """

    __slots__ = ("addresses", "engine", "gated", "name", "reads_images", "runs")

    def __init__(self, name: str, engine: Engine, gated: bool) -> None:
        self.name = name
        self.engine = engine
        self.gated = gated
        self.addresses: dict[str, int] = {}
        self.reads_images = False
        self.runs: dict[int, Run] = {}

    def bind(
        self,
        addresses: dict[str, int],
        scratch: tuple[int, int],
        max_batch: int,
        after: Callable[[int], Sequence[Piece]],
    ) -> None:
        """Create a context for every bucket, all in the same memory.

        Args:
            addresses: addresses of the tensors.
            scratch: address and bytes of the scratch memory.
            max_batch: the largest batch.
            after: returns the pieces to enqueue after a run of that many samples.

        Raises:
            BackendError: TensorRT rejects one.
        """
        self.addresses = addresses
        self.reads_images = IMAGES in addresses
        smallest = 1
        for size in bucket_sizes(max_batch):
            run = Run(self.engine.open_context(size, addresses, *scratch), *after(size))
            self.runs |= dict.fromkeys(range(smallest, size + 1), run)
            smallest = size + 1

    def close(self) -> None:
        """Free graphs and contexts, then the engine."""
        for run in self.runs.values():
            run.close()
            for piece in run.pieces:
                piece.close()
        self.runs.clear()
        self.engine.close()


def bucket_sizes(max_batch: int) -> list[int]:
    """Return the batch sizes that are run, ascending; the last is the largest batch itself."""
    powers = range((max_batch - 1).bit_length())
    return [*(2**power for power in powers), max_batch]
