"""A bundle's sessions behind a batcher, and their replacement by another bundle's."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path

from edgeexit_runtime.errors import EdgeExitError
from edgeexit_runtime.loading import load
from edgeexit_runtime.serving.batching import Batcher
from edgeexit_runtime.serving.metrics import Metrics
from edgeexit_runtime.serving.options import ServeOptions
from edgeexit_runtime.session import Session

logger = logging.getLogger(__name__)


class Service:
    """Answers requests.

    Args:
        folder: the bundle's folder.
        options: options of the service.

    Raises:
        BundleError, BackendError, InputError: as :func:`edgeexit_runtime.load`.
    """

    def __init__(self, folder: Path, options: ServeOptions) -> None:
        self.folder, self.options = folder, options
        self.metrics = Metrics()
        self._reloading = threading.Lock()
        self.batcher = Batcher(
            self._load(),
            max_batch=options.max_batch,
            max_wait_ms=options.max_wait_ms,
            queue=options.queue,
            deadline_ms=options.deadline_ms,
            observe=self.metrics.batch.observe,
        )
        self.metrics.watch(self.batcher)

    def reload(self) -> None:
        """Load the folder again and use it from the next batch on.

        If it cannot be loaded, the old bundle stays in service.
        """
        with self._reloading:
            try:
                self.batcher.replace(self._load())
            except EdgeExitError as error:
                logger.error("the old bundle stays, the new one cannot be loaded: %s", error)
                self.metrics.reloads.labels("failed").inc()
                return
        logger.info("%s was loaded again", self.folder)
        self.metrics.reloads.labels("done").inc()

    def close(self) -> None:
        """Answer all queued requests, and accept no more."""
        self.batcher.close()

    def _load(self) -> list[Session]:
        """Load and warm up sessions, all of the same bundle."""
        options = self.options
        names = ("backend", "providers", "threads", "device")
        loading = {name: getattr(options, name) for name in names}
        while True:
            with ExitStack() as held:
                sessions = [
                    held.enter_context(load(self.folder, **loading))
                    for _ in range(options.sessions)
                ]
                if any(session.manifest != sessions[0].manifest for session in sessions):
                    continue  # it was replaced between two of them
                for session in sessions:
                    session.warm_up(min(options.max_batch, session.manifest.max_batch), runs=2)
                held.pop_all()
                return sessions
