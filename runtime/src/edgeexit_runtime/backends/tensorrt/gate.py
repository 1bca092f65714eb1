"""Where the exits' outputs lie: on the device, and pinned on the host.

An exit's confidences, labels and flags lie behind one another, so that one copy brings them down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.backends.buffer_plan import aligned
from edgeexit_runtime.bundle.manifest import THRESHOLD, Manifest
from edgeexit_runtime.gate import GateOutputs

PARTS = (("confidence", np.float32), ("label", np.int32), ("exits", np.bool_))


class GatePlan:
    """Offsets of the exits' thresholds and outputs in one allocation, and in its pinned mirror.

    Attributes:
        size_bytes: what the allocation on the device takes.
        mirror_bytes: how much of its beginning the mirror shows: all but the logits.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._offsets: dict[str, dict[str, int]] = {}
        self._views: dict[tuple[str, int], GateOutputs] = {}
        self._mirror: NDArray[np.uint8] = np.empty(0, np.uint8)
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

    def set_mirror(self, mirror: NDArray[np.uint8]) -> None:
        """Use this pinned memory of ``mirror_bytes``."""
        self._mirror = mirror
        self._views.clear()

    def addresses(self, exit_name: str, begin: int) -> dict[str, int]:
        """Return where an exit's threshold and outputs are in an allocation that begins there."""
        return {name: begin + offset for name, offset in self._offsets[exit_name].items()}

    def threshold(self, exit_name: str) -> NDArray[np.float32]:
        """Return the mirror of an exit's threshold, (1,)."""
        return self._view(exit_name, THRESHOLD, np.float32, 1)

    def result(self, exit_name: str, count: int) -> NDArray[np.uint8]:
        """Return the mirror of all that the gate says of ``count`` samples, for one copy.

        It begins where the confidences do.
        """
        places = self._offsets[exit_name]
        return self._mirror[places[PARTS[0][0]] : places["exits"] + count]

    def outputs(self, exit_name: str, count: int) -> GateOutputs:
        """Return the parts of :meth:`result`."""
        key = (exit_name, count)
        if key not in self._views:
            views = {name: self._view(exit_name, name, dtype, count) for name, dtype in PARTS}
            self._views[key] = GateOutputs(views["exits"], views["label"], views["confidence"])
        return self._views[key]

    def _view(self, exit_name: str, part: str, dtype: Any, count: int) -> NDArray[Any]:
        begin = self._offsets[exit_name][part]
        return self._mirror[begin : begin + count * np.dtype(dtype).itemsize].view(dtype)
