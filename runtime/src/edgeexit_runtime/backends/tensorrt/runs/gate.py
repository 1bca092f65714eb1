"""Memory of the exits' outputs: on the device, and pinned on the host.

An exit's confidences, labels and flags are adjacent, so that one copy brings all to the host. Or
the device writes them directly into host memory, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from edgeexit_runtime.backends.buffer_plan import aligned
from edgeexit_runtime.backends.cuda.memory import CudaMemory
from edgeexit_runtime.bundle.manifest import THRESHOLD, Manifest
from edgeexit_runtime.gate import GateOutputs

PARTS = (("confidence", np.float32), ("label", np.int32), ("exits", np.bool_))


class GatePlan:
    """Layout of the exits' thresholds and outputs in one device allocation and its pinned mirror.

    Attributes:
        size_bytes: size of the allocation on the device.
        mirror_bytes: size of its first part that the mirror holds: all but the logits.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._offsets: dict[str, dict[str, int]] = {}
        self._views: dict[tuple[str, int], GateOutputs] = {}
        self._mirror: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._begin = self._written = 0  # addresses of the allocation and the outputs
        end = 0
        for exit_ in manifest.exits:
            places = self._offsets[exit_.name] = {THRESHOLD: end}
            end += aligned(4)
            for name, dtype in PARTS:
                places[name] = end
                end += aligned(np.dtype(dtype).itemsize * manifest.max_batch)
        self.mirror_bytes = end
        logits_bytes = aligned(4 * manifest.model.num_classes * manifest.max_batch)
        for exit_ in manifest.exits:
            self._offsets[exit_.name]["logits"] = end
            end += logits_bytes
        self.size_bytes = end

    def allocate(self, memory: CudaMemory, *, mapped: bool) -> None:
        """Allocate the memory.

        Args:
            memory: owner of the allocations.
            mapped: whether the exits write into the mirror.
        """
        self._begin = self._written = memory.device(self.size_bytes)
        shape = (self.mirror_bytes,)
        if mapped:
            self._mirror, self._written = memory.mapped(shape, np.uint8)
        else:
            self._mirror = memory.pinned(shape, np.uint8)

    def addresses(self, exit_name: str) -> dict[str, int]:
        """Return where an exit reads its threshold and writes its outputs."""
        begins = dict.fromkeys((name for name, _ in PARTS), self._written)
        offsets = self._offsets[exit_name]
        return {name: begins.get(name, self._begin) + offset for name, offset in offsets.items()}

    def threshold(self, exit_name: str) -> NDArray[np.float32]:
        """Return the mirror of an exit's threshold, (1,)."""
        return self._view(exit_name, THRESHOLD, np.float32, 1)

    def copy(self, exit_name: str, stream: Any, count: int) -> Callable[[], object] | None:
        """Return the copy, in ``stream``, of ``count`` outputs to the mirror; None if mapped."""
        if self._written != self._begin:
            return None
        places = self._offsets[exit_name]
        first, end = places[PARTS[0][0]], places["exits"] + count
        address = self._begin + first
        return partial(cuda.memcpy_dtoh_async, self._mirror[first:end], address, stream)

    def outputs(self, exit_name: str, count: int) -> GateOutputs:
        """Return an exit's outputs for ``count`` samples, as views of the mirror."""
        key = (exit_name, count)
        if key not in self._views:
            views = {name: self._view(exit_name, name, dtype, count) for name, dtype in PARTS}
            self._views[key] = GateOutputs(views["exits"], views["label"], views["confidence"])
        return self._views[key]

    def _view(self, exit_name: str, part: str, dtype: Any, count: int) -> NDArray[Any]:
        begin = self._offsets[exit_name][part]
        return self._mirror[begin : begin + count * np.dtype(dtype).itemsize].view(dtype)
