"""The runtime of the library that built the engines."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgeexit_runtime.backends.tensorrt.log import Reasons, process_log
from edgeexit_runtime.backends.tensorrt.runtime_cache import RuntimeCache
from edgeexit_runtime.backends.tensorrt.versions import TensorRt
from edgeexit_runtime.bundle.engine_entry import EngineOptions
from edgeexit_runtime.errors import BackendError

logger = logging.getLogger(__name__)


class EngineRuntime:
    """TensorRT's runtime, and its messages about failures.

    Attributes:
        trt: the library.
        cache: kernels that it has compiled for this GPU.
        reasons: ``with runtime.reasons:`` goes around every call that may fail.

    Args:
        trt: the library.
        folder: the bundle's folder, where the cache is kept.
    """

    def __init__(self, trt: TensorRt, folder: Path) -> None:
        self.trt = trt
        self.cache = RuntimeCache(folder)
        self.reasons = Reasons(logger, logging.WARNING)
        self._runtime: Any = None

    def open_engine(self, content: bytes, options: EngineOptions) -> Any:
        """Return an engine from a file's contents, or None if that fails.

        Its weights take device memory; a CUDA context must be current.
        """
        with self.reasons:
            if self._runtime is None:
                self._runtime = self.trt.module.Runtime(process_log(self.trt.module))
            engine = self.trt.open_engine(self._runtime, content, options)
        if self.reasons.cancelled:  # by Ctrl-C, while it was logging
            self.reasons.cancelled = False
            raise KeyboardInterrupt
        return engine

    def failed(self, what: str) -> BackendError:
        """Return an error with the library's last logged error as the reason."""
        reason = self.reasons.errors[-1] if self.reasons.errors else "it does not say why"
        self.reasons.errors.clear()
        return BackendError(f"{what}: {reason}; build the engines again")

    def close(self) -> None:
        """Free the runtime and its cache, after engines and contexts."""
        self.cache.close()
        self._runtime = None
        self.reasons.forget()
