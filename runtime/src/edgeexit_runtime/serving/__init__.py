"""The service: requests over HTTP -> batches -> sessions. Its packages are imported on use."""

from __future__ import annotations

from pathlib import Path

from edgeexit_runtime.errors import BackendError
from edgeexit_runtime.serving.options import ServeOptions


def serve(folder: Path, options: ServeOptions) -> None:
    """Serve a bundle until the process is told to stop: see ``serving/server.py``.

    Raises:
        BackendError: a package of the service is not installed; otherwise as
            :func:`edgeexit_runtime.load`.
        InputError: the address cannot be listened on.
    """
    try:
        from edgeexit_runtime.serving.server import serve as run
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        raise BackendError(
            f"{name} is not installed: pip install 'edgeexit-runtime[serve]'"
        ) from error
    run(folder, options)
