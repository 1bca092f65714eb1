"""Stages and exits for all batch sizes: one execution context and one CUDA graph per bucket.

A bucket is a batch size that is run: 1, 2, 4, 8, ..., and the bundle's largest. A batch in between
is run as the next bucket. The rows after its end hold data of earlier batches; their results are
never read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edgeexit_runtime.backends.cuda.graph import CudaGraph
from edgeexit_runtime.backends.tensorrt.engines import Engine, FixedContext
from edgeexit_runtime.bundle.manifest import IMAGES

Copy = Callable[[], object]
"""Enqueues a copy into the session's stream."""


@dataclass(slots=True)
class Run:
    """The run of one or two engines, perhaps with a copy behind it, and the graph captured of it.

    Methods take the stream's handle: an error's frames, which may outlive the session, would keep
    the stream object alive.
    """

    contexts: Sequence[FixedContext]
    copy: Copy | None
    graph: CudaGraph | None = None

    def start(self, stream: int) -> None:
        """Launch the graph, or enqueue the work if there is none."""
        if self.graph is not None:
            self.graph.launch(stream)
        else:
            self.enqueue(stream)

    def enqueue(self, stream: int) -> None:
        """Enqueue the work into a stream, without waiting or allocating."""
        for context in self.contexts:
            context.enqueue(stream)
        if self.copy is not None:
            self.copy()

    def is_capturable(self, stream: int) -> bool:
        """Whether the work can be captured, after it was run once."""
        return all(context.is_capturable(stream) for context in self.contexts)

    def close(self) -> None:
        """Free the graph, once. The contexts belong to their parts; other runs may share them."""
        self.copy = None  # it holds the stream
        if self.graph is not None:
            self.graph.close()
            self.graph = None


@dataclass(slots=True)
class Part:
    """A stage or an exit: its engine, the addresses of its tensors, and its runs.

    Attributes:
        reads_images: whether the images are among its tensors.
        runs: by number of samples; numbers in the same bucket share a run.
    """

    name: str
    engine: Engine
    addresses: dict[str, int] = field(default_factory=dict)
    reads_images: bool = False
    runs: dict[int, Run] = field(default_factory=dict)

    def bind(
        self,
        addresses: dict[str, int],
        scratch: tuple[int, int],
        max_batch: int,
        copy_of: Callable[[int], Copy | None],
    ) -> None:
        """Create a context for every bucket, all in the same memory.

        Args:
            addresses: addresses of the tensors.
            scratch: address and bytes of the scratch memory.
            max_batch: the largest batch.
            copy_of: returns the copy to enqueue after a run of that many samples, if any.

        Raises:
            BackendError: TensorRT rejects one.
        """
        self.addresses = addresses
        self.reads_images = IMAGES in addresses
        smallest = 1
        for size in bucket_sizes(max_batch):
            run = Run([self.engine.open_context(size, addresses, *scratch)], copy_of(size))
            self.runs |= dict.fromkeys(range(smallest, size + 1), run)
            smallest = size + 1

    def close(self) -> None:
        """Free graphs and contexts, then the engine."""
        for run in self.runs.values():
            run.close()
            for context in run.contexts:
                context.close()
        self.runs.clear()
        self.engine.close()


def bucket_sizes(max_batch: int) -> list[int]:
    """Return the batch sizes that are run, ascending; the last is the largest batch itself."""
    powers = range((max_batch - 1).bit_length())
    return [*(2**power for power in powers), max_batch]
