"""TensorRT or TensorRT-RTX: whichever built the engines has to run them.

What differs between their versions at run time is in this module.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

from edgeexit_runtime.errors import BackendError, InputError

__all__ = ["TensorRTLibrary"]

logger = logging.getLogger(__name__)

LIBRARIES = {
    "tensorrt": "pip install 'edgeexit-runtime[tensorrt]'; on a Jetson it comes with JetPack",
    "tensorrt-rtx": "pip install 'edgeexit-runtime[rtx]'",
}
"""The libraries by the name that a bundle's engines have, and how they are installed."""


class TensorRTLibrary:
    """The library, its logger, and its runtime.

    Attributes:
        module: ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        BackendError: it is not installed, or does not start.
        InputError: there is no such library.
    """

    def __init__(self, name: str) -> None:
        if name not in LIBRARIES:
            raise InputError(f"engines: expected {' or '.join(LIBRARIES)} to run, got {name!r}")
        self.name = name
        try:
            self.module: Any = importlib.import_module(name.replace("-", "_"))
        except ImportError as error:
            reason = str(error).partition("\n")[0]
            raise BackendError(
                f"the engines are of {name}, which cannot be used here ({reason}): "
                f"{LIBRARIES[name]}"
            ) from error
        self._messages: list[str] = []
        self._logger = _logger(self.module, self._messages)
        self._runtime: Any = None

    @property
    def version(self) -> str:
        return str(self.module.__version__)

    def deserialize(self, content: bytes) -> Any:
        """Make an engine of a file's contents, None where that cannot be done.

        Its weights take device memory; a context is current.
        """
        if self._runtime is None:
            self._runtime = self.module.Runtime(self._logger)
        return self._runtime.deserialize_cuda_engine(content)

    def create_context(self, engine: Any) -> Any:
        """Make an execution context that is given its scratch memory by the caller, or None."""
        trt = self.module
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):  # TensorRT-RTX 1.1
            return engine.create_execution_context(strategy)
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        # kernels of a batch size are made when it first comes, not behind a captured graph
        eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        return engine.create_execution_context(config)

    def is_capturable(self, context: Any, stream: int) -> bool:
        """Whether the context's work can be captured as far as the library knows."""
        if hasattr(context, "is_stream_capturable"):  # TensorRT-RTX 1.2
            return bool(context.is_stream_capturable(stream))
        return True

    def failed(self, what: str) -> BackendError:
        """Return an error with the library's last message."""
        reason = self._messages[-1] if self._messages else "it does not say why"
        return BackendError(f"{what}: {reason}; build the engines again")

    def close(self) -> None:
        """Free the runtime; engines and contexts are gone before."""
        self._runtime = None


def _logger(trt: Any, messages: list[str]) -> Any:
    """Return a logger that passes on to this module's, and keeps the last error."""
    levels = {
        trt.ILogger.Severity.INTERNAL_ERROR: logging.ERROR,
        trt.ILogger.Severity.ERROR: logging.ERROR,
        trt.ILogger.Severity.WARNING: logging.WARNING,
        trt.ILogger.Severity.INFO: logging.DEBUG,
        trt.ILogger.Severity.VERBOSE: logging.DEBUG,
    }

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            level = levels[severity]
            if level == logging.ERROR:
                messages[:] = [" ".join(msg.split())]
            logger.log(level, "%s", msg)

    return Logger()
