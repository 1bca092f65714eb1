"""How a service is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeexit_runtime.errors import BackendError, InputError


def missing(error: ModuleNotFoundError) -> BackendError:
    """Return what to say where a package of the service is not installed."""
    name = (error.name or "").partition(".")[0]
    return BackendError(f"{name} is not installed: pip install 'edgeexit-runtime[serve]'")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a service is run.

    Attributes:
        name: of the model in requests.
        host, port: where it listens.
        sessions: of the bundle, which answer at the same time.
        backend, providers, threads, device: as :func:`edgeexit_runtime.load` takes them.
        max_batch: images that are answered together, at most.
        max_wait_ms: how long a batch that is not full waits for more.
        queue: images that wait for their turn, at most; more are refused.
        deadline_ms: of each batch, see :meth:`edgeexit_runtime.Session.infer`; None for none.
        max_bytes: of a request's body.
        max_pixels: of an image file.
        timeout_s: to send a body, and for a stop to answer what was taken.
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
        if self.max_wait_ms < 0 or self.timeout_s <= 0:
            raise InputError(
                "max_wait_ms, timeout_s: expected 0 or more and above 0, got "
                f"{self.max_wait_ms} and {self.timeout_s}"
            )

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return every option and its value where none is given."""
        return asdict(cls())

    @property
    def loading(self) -> dict[str, Any]:
        """What :func:`edgeexit_runtime.load` takes besides the folder."""
        return {
            "backend": self.backend,
            "providers": self.providers,
            "threads": self.threads,
            "device": self.device,
        }
