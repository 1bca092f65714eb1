"""Cache, in the bundle's folder, of kernels that TensorRT-RTX has compiled for this GPU.

TensorRT-RTX compiles when a context first runs. Later it takes compiled kernels from the cache if
GPU, driver and version are the same; else it rejects the cache and starts a new one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edgeexit_runtime.system.files import read_cache, replace_file

logger = logging.getLogger(__name__)

RUNTIME_CACHE = "runtime.cache"
"""The file's name; its contents are TensorRT-RTX's own."""
MAX_BYTES = 2**30


class RuntimeCache:
    """One cache for all contexts of a session. A CUDA context must be current.

    Args:
        folder: the bundle's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RUNTIME_CACHE
        self._cache: Any = None
        self._content = b""  # of the file

    def attach(self, config: Any) -> None:
        """Make contexts of a configuration use the cache."""
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            self._content = read_cache(self._path, MAX_BYTES)
            if self._content and not self._cache.deserialize(self._content):
                logger.info("%s is of another GPU, driver or version", self._path)
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write the cache if it has changed and the folder is writable."""
        if self._cache is None:
            return
        content = bytes(self._cache.serialize())
        if content == self._content:
            return
        try:
            with replace_file(self._path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            logger.info("%s cannot be written (%s)", self._path, error.strerror)
        self._content = content

    def close(self) -> None:
        """Free the cache, after the contexts."""
        self._cache = None
