"""The service as a process: signals, connections, and shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgeexit_runtime.errors import InputError
from edgeexit_runtime.serving.app import make_app
from edgeexit_runtime.serving.options import ServeOptions
from edgeexit_runtime.serving.service import Service


def serve(folder: Path, options: ServeOptions) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C, which let running requests finish.

    SIGHUP loads the bundle again; the new one answers waiting requests.

    Raises:
        BundleError, BackendError, InputError: as :func:`edgeexit_runtime.load`.
        InputError: the address cannot be listened on.
    """
    _check_address(options.host, options.port)
    service = Service(folder, options)
    try:
        config = uvicorn.Config(
            make_app(service),
            host=options.host,
            port=options.port,
            http=Connection,
            access_log=False,
            timeout_graceful_shutdown=max(1, round(options.timeout_s)),
        )
        asyncio.run(_Server(config, service).serve())
    finally:
        service.close()


def _check_address(host: str, port: int) -> None:
    """Check, before sessions are loaded, that the address is free; uvicorn would exit if not."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            if os.name == "posix":  # as asyncio does; elsewhere it would allow a used port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        raise InputError(
            f"{host}:{port}: cannot listen there ({error.strerror}); choose another --host or "
            "--port"
        ) from error


class _Server(uvicorn.Server):  # type: ignore[misc]  # uvicorn may not be installed
    """uvicorn's server, with SIGHUP; stopping by a signal is not an error of the process."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._reloads: set[asyncio.Task[None]] = set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not hasattr(signal, "SIGHUP"):  # Windows, whose loops take no handlers
            with super().capture_signals():
                yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    def _reload(self) -> None:
        task = asyncio.ensure_future(asyncio.to_thread(self._service.reload))
        self._reloads.add(task)  # the loop holds no task itself
        task.add_done_callback(self._reloads.discard)


class Connection(H11Protocol):  # type: ignore[misc]  # uvicorn may not be installed
    """uvicorn's connection, with a timeout for a request's headers, which uvicorn lacks."""

    header_timeout_s: float = 5

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.loop.call_later(self.header_timeout_s, self.close_if_idle, None)

    def close_if_idle(self, last_request: object) -> None:
        """Close if no request came since the last check, and none is being answered."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is last_request:
            self.transport.close()
        elif not self.transport.is_closing():
            self.loop.call_later(self.header_timeout_s, self.close_if_idle, self.cycle)
