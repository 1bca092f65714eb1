"""What a backend is: how it is chosen and opened, and what the session runs a bundle by.

A :class:`Backend` describes an engine and is imported without it. Its :class:`Runner` runs the
graphs of one bundle over tensors that it owns, and is imported when a bundle is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import GraphEntry
from edgeexit_runtime.bundle.quantization_entry import CPU, GPU
from edgeexit_runtime.errors import BackendError, InputError
from edgeexit_runtime.gate import GateOutputs

NVIDIA = "nvidia"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a bundle is to be run; None leaves it to the backend.

    Attributes:
        providers: ONNX Runtime's execution providers, in the order of preference.
        threads: threads per graph on the CPU; of no use where it computes nothing.
        device: a name of the backend's ``devices``, in any letter case.
    """

    providers: Sequence[str] | None = None
    threads: int | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a backend cannot run a bundle here.

    Attributes:
        reason: in words, with what to do.
        is_surprising: the bundle was prepared for it and the device is there: whoever chooses
            another backend should say so.
    """

    reason: str
    is_surprising: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a runner computes on: ``maker`` is :data:`NVIDIA` for its GPUs, "" for all others.

    ``name`` is for people, where the runner's device does not hold it already; else "".
    """

    maker: str = ""
    name: str = ""


class Backend(ABC):
    """An engine: what it is, whether it can run a bundle here, and how it is opened."""

    name: ClassVar[str]
    """By which it is asked for."""

    modules: ClassVar[tuple[str, ...]]
    """What has to be installed for it, by names of modules."""

    install: ClassVar[str]
    """How that is installed."""

    devices: ClassVar[tuple[str, ...]]
    """What ``device`` may be, for those who look for one; it may take more."""

    takes_providers: ClassVar[bool] = False
    """Whether ``providers`` mean something to it."""

    keeps: ClassVar[Path | None] = None
    """Where in a bundle's folder it keeps what it compiles, which goes with the bundle."""

    @abstractmethod
    def why_not(self, bundle: Bundle) -> WhyNot | None:
        """Return why it cannot run a bundle here, None where it can; imports no engine."""

    @abstractmethod
    def open(self, bundle: Bundle, options: LoadOptions) -> Runner:
        """Load a bundle's graphs; the options are such that :meth:`takes` them.

        Raises:
            BackendError: its engine is not installed, does not start, or lacks the device.
            BundleError: a file of the bundle is missing, changed, or not what the manifest says.
        """

    def is_available(self, bundle: Bundle) -> bool:
        """Whether it can run a bundle here."""
        return self.why_not(bundle) is None

    def takes(self, options: LoadOptions) -> bool:
        """Whether the options mean something to it."""
        try:
            self.check(options)
        except InputError:
            return False
        return True

    def check(self, options: LoadOptions) -> None:
        """Refuse options of other backends.

        Raises:
            InputError: there are some.
        """
        if options.providers is not None and not self.takes_providers:
            raise InputError(f"providers: backend {self.name} has none, got {options.providers!r}")
        device = options.device
        if device is None:
            return
        if not isinstance(device, str) or not self.has_device(device):
            raise InputError(
                f"device: backend {self.name} has {', '.join(self.devices)}, got {device!r}"
            )

    def has_device(self, device: str) -> bool:
        """Whether a device's name is one of this backend's."""
        return device.lower() in (name.lower() for name in self.devices)

    def import_class(self, path: str) -> Callable[..., Any]:
        """Import a class that imports the engine, given as ``module:class``.

        Raises:
            BackendError: the engine is not installed, or does not start.
        """
        module, _, name = path.partition(":")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("edgeexit_runtime"):
                raise
            raise BackendError(f"{error.name} is not installed: {self.install}") from error
        except ImportError as error:
            reason = str(error).partition("\n")[0]
            raise BackendError(
                f"{self.name} is installed but does not start: {reason}; install it again"
            ) from error
        return found

    def not_installed(self, modules: Sequence[str]) -> str | None:
        """Say which of these modules is the first that is missing; None where none is."""
        missing = [module for module in modules if not is_installed(module)]
        return f"{missing[0]} is not installed: {self.install}" if missing else None


class Runner(ABC):
    """Runs the graphs of one bundle over a batch of n samples, 1 <= n <= max_batch.

    All tensors between graphs belong to the runner and stay where it computes; only the gate's
    outputs come to the host. Nothing is checked here, that is the session's part. Not
    thread-safe.
    """

    device: str
    """Where the graphs run, in the backend's own word."""

    threads: int | None
    """Threads per graph on the CPU; None where the backend chose."""

    versions: dict[str, str]
    """Name and version of what runs them."""

    hardware: Hardware = Hardware()
    """What is computed on, where it is not the CPU."""

    int8_of: tuple[str, ...] = (CPU, GPU)
    """The kinds of engines whose INT8 bundles it computes in 8 bits; others it rounds besides."""

    int8_instead: str = ""
    """What is done where this CPU's sums of 8-bit products would saturate, else ""."""

    ahead_below: float = 0.0
    """Where less than this share of those who reach an exit is expected to leave, an image that
    comes alone has the next stage begun before the exit has answered."""

    together: AbstractContextManager[object] = nullcontext()
    """Entered around the calls of one batch, so that what each of them needs is done once."""

    @abstractmethod
    def set_images(self, images: NDArray[np.float32]) -> None:
        """Begin a batch with images (n, C, H, W), C-contiguous.

        The array is not copied: it must stay as it is until the next call of this.

        Raises:
            InputError: more than ``max_batch`` images; the buffers would not hold them.
        """

    @abstractmethod
    def run_stage(self, name: str) -> None:
        """Run a stage over the current batch."""

    @abstractmethod
    def run_exit(self, name: str) -> GateOutputs:
        """Run an exit over the current batch; the result is overwritten by its next run."""

    def run_step(self, stage: str | None, exit_: str, ahead: str | None = None) -> GateOutputs:
        """Run a stage, if any, and the exit behind it, as one where that saves something.

        Args:
            stage: of the current batch.
            exit_: whose outputs are returned, as :meth:`run_exit` does.
            ahead: a stage to begin besides, before the exit's answer is there, if there is one.
        """
        if stage is not None:
            self.run_stage(stage)
        gate = self.run_exit(exit_)
        if ahead is not None:
            self.run_stage(ahead)
        return gate

    @abstractmethod
    def logits(self, name: str) -> NDArray[np.float32]:
        """Return a copy of the logits (n, K) of an exit's last run, brought to the host."""

    @abstractmethod
    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        """Go on with some samples only, in all tensors that are read after exit ``name``.

        Args:
            name: the exit that the others have left at.
            rows: (k,) int64, 1 <= k < n: row i of what goes on is row ``rows[i]`` >= i, none twice.
        """

    @abstractmethod
    def set_threshold(self, name: str, threshold: float) -> None:
        """Set an exit's threshold for all runs to come."""

    def synchronize(self) -> None:
        """Wait until the device has done all that was begun.

        There is nothing to wait for where a run returns when it is done.
        """
        return

    @abstractmethod
    def close(self) -> None:
        """Free everything; the runner is of no use afterwards."""

    def computed_in(self) -> str:
        """Say what convolutions and products are really computed in: ``int8 40, fp32 8``.

        Asked by benchmarks, it may take seconds; "" where the engine does not tell.
        """
        return ""

    def bare_graphs(self) -> BareGraphs:
        """Return how graphs of no bundle run here, for measuring what this machine does at best.

        Raises:
            BackendError: no engine here measures it.
        """
        raise BackendError(f"{type(self).__name__} runs no graphs but those of a bundle")


class BareGraphs(ABC):
    """Runs ONNX graphs of no bundle as a runner runs its own: same device, threads, options.

    Attributes:
        device: what they run on.
    """

    device: str

    @abstractmethod
    def bind(
        self, entry: GraphEntry, content: bytes, inputs: Mapping[str, NDArray[Any]]
    ) -> Callable[[], object]:
        """Load a graph, bind it where it computes, and return what runs it once and waits.

        Args:
            entry: its tensors, without the batch.
            content: the ONNX file.
            inputs: by name, with the batch.

        Raises:
            BackendError: it cannot be loaded.
        """


def is_installed(module: str) -> bool:
    """Whether a module can be imported, as far as can be told without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a finder that hides it
        return False
