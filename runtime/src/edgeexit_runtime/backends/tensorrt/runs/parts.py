"""Stages and exits over batches of any size: one execution context and one CUDA graph per bucket.

A bucket is a batch size that is run: 1, 2, 4, 8, ..., and the bundle's largest. A batch in between
is run as the next bucket. The rows behind its end hold what earlier batches left there; what
comes of them is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgeexit_runtime.backends.cuda.graph import CudaGraph
from edgeexit_runtime.backends.tensorrt.engines import Engine
from edgeexit_runtime.bundle.manifest import IMAGES


class Piece(Protocol):
    """What is put into a stream: the run of an engine, or a copy behind it.

    It is given the stream's handle: an error's frames, which may outlive the session, would keep
    the stream itself.
    """

    def enqueue(self, stream: int) -> None:
        """Put it there; it neither waits nor allocates."""

    def is_capturable(self, stream: int) -> bool:
        """Whether a graph can be captured of it, once it was run."""

    def close(self) -> None:
        """Free what it has; twice does no harm."""


class Run:
    """Pieces that follow each other, and the graph that was captured of them."""

    __slots__ = ("graph", "pieces")

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.graph: CudaGraph | None = None

    def start(self, stream: int) -> None:
        """Launch the graph, or enqueue the pieces where there is none."""
        if self.graph is not None:
            self.graph.launch(stream)
        else:
            self.enqueue(stream)

    def enqueue(self, stream: int) -> None:
        """Put one piece behind the other into a stream."""
        for piece in self.pieces:
            piece.enqueue(stream)

    def is_capturable(self, stream: int) -> bool:
        """Whether all of them are, once they were run."""
        return all(piece.is_capturable(stream) for piece in self.pieces)

    def close(self) -> None:
        """Free the graph, once. Its pieces are their part's, and may be in another run too."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None


class Part:
    """A stage or an exit: its engine, where its tensors are, and its runs.

    Attributes:
        reads_images: whether the images are among its tensors.
        runs: by the number of samples; those of one bucket share a run.
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
        behind: Callable[[int], Sequence[Piece]],
    ) -> None:
        """Make a context for every bucket, all over the same memory.

        Args:
            addresses: of the tensors.
            scratch: address and bytes.
            max_batch: the largest batch.
            behind: what follows a run of so many samples.

        Raises:
            BackendError: TensorRT refuses one.
        """
        self.addresses = addresses
        self.reads_images = IMAGES in addresses
        smallest = 1
        for size in bucket_sizes(max_batch):
            run = Run(self.engine.open_context(size, addresses, *scratch), *behind(size))
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
