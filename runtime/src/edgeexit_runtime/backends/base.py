"""Base classes of backends: :class:`Backend` chooses and opens, :class:`Runner` runs a bundle.

A :class:`Backend` describes an engine without importing it. Its :class:`Runner` runs the graphs of
one bundle on tensors that it owns, and is imported when a bundle is loaded.
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
    """Options for running a bundle; None leaves the choice to the backend.

    Attributes:
        providers: ONNX Runtime's execution providers, in order of preference.
        threads: threads per graph on the CPU; no effect on other devices.
        device: one of the backend's ``devices``, in any letter case.
    """

    providers: Sequence[str] | None = None
    threads: int | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a backend cannot run a bundle here.

    Attributes:
        reason: a phrase that says why, and what to do.
        is_surprising: the bundle was prepared for this backend and the device is present, so
            choosing another backend should be reported.
    """

    reason: str
    is_surprising: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    """The device of a runner: ``maker`` is :data:`NVIDIA` for its GPUs, "" for all others.

    ``name`` is shown to users; "" if the runner's ``device`` already contains it.
    """

    maker: str = ""
    name: str = ""


class Backend(ABC):
    """An engine: its name and options, whether it can run a bundle here, and how to open it."""

    name: ClassVar[str]
    """The value of ``backend`` that selects it."""

    modules: ClassVar[tuple[str, ...]]
    """Names of the modules that must be installed for it."""

    install: ClassVar[str]
    """How to install them."""

    devices: ClassVar[tuple[str, ...]]
    """Values of ``device`` that are listed to users; the backend may accept more."""

    takes_providers: ClassVar[bool] = False
    """Whether the backend accepts ``providers``."""

    needs_engines: ClassVar[bool] = False
    """Whether it runs engines alone, which are built of a bundle before."""

    keeps: ClassVar[Path | None] = None
    """Path in a bundle's folder of compiled files to keep; they are part of the bundle."""

    @abstractmethod
    def open(self, bundle: Bundle, options: LoadOptions) -> Runner:
        """Load a bundle's graphs, with options that :meth:`takes` accepts.

        Raises:
            BackendError: its engine is not installed, does not start, or lacks the device.
            BundleError: a file of the bundle is missing, changed, or not what the manifest says.
        """

    def why_not(self, bundle: Bundle) -> WhyNot | None:
        """Return why it cannot run a bundle here, None if it can; imports no engine.

        By default, it can if its modules are installed.
        """
        missing = self.not_installed(self.modules)
        return WhyNot(missing) if missing else None

    def takes(self, options: LoadOptions) -> bool:
        """Whether the backend accepts the options."""
        try:
            self.check(options)
        except InputError:
            return False
        return True

    def check(self, options: LoadOptions) -> None:
        """Check that all options that are set are this backend's.

        Raises:
            InputError: one is not.
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
        """Whether a device is one of this backend's."""
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
        """Return a phrase about the first of these modules that is missing; None if none is."""
        missing = [module for module in modules if not is_installed(module)]
        return f"{missing[0]} is not installed: {self.install}" if missing else None


class Runner(ABC):
    """Runs the graphs of one bundle over a batch of n samples, 1 <= n <= max_batch.

    All tensors between graphs belong to the runner and stay on its device; only the gate's
    outputs are copied to the host. The session checks all arguments and results, the runner none.
    Not thread-safe.
    """

    device: str
    """Where the graphs run, as the backend names it."""

    threads: int | None
    """Threads per graph on the CPU; None if the backend chose."""

    versions: dict[str, str]
    """Names and versions of the software that runs the graphs."""

    hardware: Hardware = Hardware()
    """The device, if it is not the CPU."""

    int8_of: tuple[str, ...] = (CPU, GPU)
    """Kinds of engines whose INT8 bundles are computed in 8 bits here; others only add rounding."""

    int8_instead: str = ""
    """What is done instead if this CPU's sums of 8-bit products would saturate, else ""."""

    ahead_below: float = 0.0
    """For a single image, the next stage is started before the exit has answered if less than this
    share of the images reaching the exit is expected to leave there."""

    together: AbstractContextManager[object] = nullcontext()
    """Entered around the calls of one batch, for setup that they share."""

    @abstractmethod
    def set_images(self, images: NDArray[np.float32]) -> None:
        """Start a batch of images (n, C, H, W), C-contiguous.

        The array may be used in place: it must not change until the next call of this.

        Raises:
            InputError: more than ``max_batch`` images; the buffers would not hold them.
        """

    @abstractmethod
    def run_stage(self, name: str) -> None:
        """Run a stage on the current batch."""

    @abstractmethod
    def run_exit(self, name: str) -> GateOutputs:
        """Run an exit on the current batch; its next run overwrites the result."""

    def run_step(self, stage: str | None, exit_: str, ahead: str | None = None) -> GateOutputs:
        """Run a stage, if any, and the exit behind it, in one call if that saves time.

        Args:
            stage: the stage to run on the current batch.
            exit_: the exit, whose outputs are returned as by :meth:`run_exit`.
            ahead: the next stage, if it is to be started before the exit has answered.
        """
        if stage is not None:
            self.run_stage(stage)
        gate = self.run_exit(exit_)
        if ahead is not None:
            self.run_stage(ahead)
        return gate

    @abstractmethod
    def logits(self, name: str) -> NDArray[np.float32]:
        """Return a copy, on the host, of the logits (n, K) of an exit's last run."""

    @abstractmethod
    def keep(self, name: str, rows: NDArray[np.int64]) -> None:
        """Keep only some samples, in all tensors that are read after exit ``name``.

        Args:
            name: the exit at which the others have left.
            rows: (k,) int64, 1 <= k < n: new row i is old row ``rows[i]`` >= i, none twice.
        """

    @abstractmethod
    def set_threshold(self, name: str, threshold: float) -> None:
        """Set an exit's threshold for all later runs."""

    def synchronize(self) -> None:
        """Wait until the device has done all work that was started.

        If a run returns only when it is done, there is nothing to wait for.
        """
        return

    @abstractmethod
    def close(self) -> None:
        """Free everything; the runner cannot be used afterwards."""

    def computed_in(self) -> str:
        """Return the precisions that convolutions and products run in: ``int8 40, fp32 8``.

        For benchmarks; it may take seconds. "" if the engine does not report them.
        """
        return ""

    def bare_graphs(self) -> BareGraphs:
        """Return a way to run other graphs on this device, to measure the machine's best speed.

        Raises:
            BackendError: no engine here can run them.
        """
        raise BackendError(f"{type(self).__name__} runs only the graphs of a bundle")


class BareGraphs(ABC):
    """Runs ONNX graphs outside of a bundle as a runner does its own: same device and options.

    Attributes:
        device: what the graphs run on.
    """

    device: str

    @abstractmethod
    def bind(
        self, entry: GraphEntry, content: bytes, inputs: Mapping[str, NDArray[Any]]
    ) -> Callable[[], object]:
        """Load a graph, bind it to device buffers; return a function that runs it once and waits.

        Args:
            entry: the graph's tensors, without the batch dimension.
            content: the ONNX file.
            inputs: input arrays by name, with the batch dimension.

        Raises:
            BackendError: the graph cannot be loaded.
        """


def is_installed(module: str) -> bool:
    """Whether a module is found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # raised by a finder that hides it
        return False
