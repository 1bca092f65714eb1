"""A bundle's sessions behind a batcher, and how another bundle takes their place."""

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
    """What answers requests.

    Args:
        folder: of the bundle.
        options: how it is run.

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

    def reload(self) -> bool:
        """Answer by what is in the folder now, from the next batch on; tell whether it can be.

        Where it cannot be loaded, the old bundle answers on.
        """
        with self._reloading:
            try:
                self.batcher.replace(self._load())
            except EdgeExitError as error:
                logger.error("the bundle answers on, the new one cannot be loaded: %s", error)
                self.metrics.reloads.labels("failed").inc()
                return False
        logger.info("%s was loaded again", self.folder)
        self.metrics.reloads.labels("done").inc()
        return True

    def close(self) -> None:
        """Answer what was taken, and nothing more."""
        self.batcher.close()

    def _load(self) -> list[Session]:
        """Load sessions that are warm, all of one bundle."""
        while True:
            with ExitStack() as held:
                sessions = [
                    held.enter_context(load(self.folder, **self.options.loading))
                    for _ in range(self.options.sessions)
                ]
                if any(session.manifest != sessions[0].manifest for session in sessions):
                    continue  # it was replaced between two of them
                for session in sessions:
                    session.warm_up(min(self.options.max_batch, session.manifest.max_batch), runs=2)
                held.pop_all()
                return sessions
