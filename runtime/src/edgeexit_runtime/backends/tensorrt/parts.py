"""Stages and exits over batches of any size: one execution context and one CUDA graph per bucket.

A bucket is a batch size that is run: 1, 2, 4, 8, ..., and the bundle's largest. A batch in between
is run as the next bucket. The rows behind its end hold what earlier batches left there; what
comes of them is never read.
"""

from __future__ import annotations

from edgeexit_runtime.backends.cuda.graph import CudaGraph
from edgeexit_runtime.backends.tensorrt.engines import Engine, FixedContext


class Part:
    """A stage or an exit: its engine, where its tensors are, and its runs.

    Attributes:
        runs: by the number of samples; those of one bucket share a run.
    """

    __slots__ = ("addresses", "engine", "gated", "name", "runs")

    def __init__(self, name: str, engine: Engine, gated: bool) -> None:
        self.name = name
        self.engine = engine
        self.gated = gated
        self.addresses: dict[str, int] = {}
        self.runs: dict[int, BucketRun] = {}

    def bind(
        self, addresses: dict[str, int], scratch: int, scratch_bytes: int, max_batch: int
    ) -> None:
        """Make a context for every bucket, all over the same memory.

        Raises:
            BackendError: TensorRT refuses one.
        """
        self.addresses = addresses
        smallest = 1
        for size in bucket_sizes(max_batch):
            run = BucketRun(self.engine.open_context(size, addresses, scratch, scratch_bytes))
            self.runs |= dict.fromkeys(range(smallest, size + 1), run)
            smallest = size + 1

    def close(self) -> None:
        """Free graphs and contexts, then the engine."""
        for run in self.runs.values():
            run.close()
        self.runs.clear()
        self.engine.close()


class BucketRun:
    """A part over batches of one size: its context, and the graph captured from that."""

    __slots__ = ("context", "graph")

    def __init__(self, context: FixedContext) -> None:
        self.context = context
        self.graph: CudaGraph | None = None

    def close(self) -> None:
        """Free the graph, then the context; twice does no harm."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None
        self.context.close()


def bucket_sizes(max_batch: int) -> list[int]:
    """Return the batch sizes that are run, ascending; the last is the largest batch itself."""
    powers = range((max_batch - 1).bit_length())
    return [*(2**power for power in powers), max_batch]
