"""Options of the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeexit_runtime.deadline import check_deadline
from edgeexit_runtime.errors import InputError

LONGEST_S = 86_400
"""Locks cannot wait for any time, such as infinity."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Options of a service.

    Attributes:
        name: the model's name in requests.
        host, port: address to listen on.
        sessions: number of sessions of the bundle, which run in parallel.
        backend, providers, threads, device: arguments of :func:`edgeexit_runtime.load`.
        max_batch: maximum number of images in a batch.
        max_wait_ms: how long a batch that is not full waits for more requests.
        queue: maximum number of waiting images; further requests are refused.
        deadline_ms: of each batch, see :meth:`edgeexit_runtime.Session.infer`; None for none.
        max_bytes: maximum size of a request's body.
        max_pixels: maximum size of an image file.
        timeout_s: to send a body, and to answer queued requests when stopping.
    """

    name: str = "edgeexit"
    host: str = "127.0.0.1"
    port: int = 8000
    sessions: int = 1
    backend: str = "auto"
    providers: Sequence[str] | None = None
    threads: int | None = None
    device: str | None = None
    max_batch: int = 8
    max_wait_ms: float = 0.0
    queue: int = 256
    deadline_ms: float | None = None
    max_bytes: int = 10_000_000
    max_pixels: int = 25_000_000
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("sessions", "max_batch", "queue", "max_bytes", "max_pixels"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 <= self.port < 2**16:
            raise InputError(f"port: expected 0 to {2**16 - 1}, got {self.port}")
        if not (0 <= self.max_wait_ms <= LONGEST_S * 1000 and 0 < self.timeout_s <= LONGEST_S):
            raise InputError(
                f"max_wait_ms, timeout_s: expected 0 or more and above 0, at most {LONGEST_S} s, "
                f"got {self.max_wait_ms} and {self.timeout_s}"
            )
        if self.deadline_ms is not None:
            check_deadline(self.deadline_ms)
