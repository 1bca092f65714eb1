"""A bundle's file -> a session of ONNX Runtime, checked.

ONNX Runtime continues on the CPU if a provider does not start, and accepts any tensors in a file;
the sessions opened here have the providers that were named and the tensors of the manifest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import onnxruntime

from edgeexit_runtime.backends.cuda.stream import open_stream
from edgeexit_runtime.backends.onnxruntime.providers import CPU, CUDA, TENSORRT, provider_options
from edgeexit_runtime.backends.onnxruntime.x86_products import (
    PRECISE_PRODUCTS,
    needs_exact_products,
)
from edgeexit_runtime.bundle.folder import Bundle
from edgeexit_runtime.bundle.manifest import THRESHOLD, GraphEntry, TensorInfo
from edgeexit_runtime.errors import BackendError, BundleError, InputError

logger = logging.getLogger(__name__)

# part of ONNX Runtime's error if only the CPU has a node and may not run it
CPU_IS_OFF = "fallback to CPU EP has been explicitly disabled"
BIAS_ROUNDING = "WeightBiasQuantization"
"""ONNX Runtime's optimization that rounds biases beside Q/DQ nodes to whole steps.

A step is the product of two scales, which nearly vanishes in FP16: on a ResNet-20 the mean error of
the logits was 10 times that of the file as written.
"""
STREAMING = (CUDA, TENSORRT)  # providers that can compute in a given stream
# onnxruntime's names of the manifest's dtypes
TYPES = {
    "float32": "tensor(float)",
    "float16": "tensor(float16)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
    "uint8": "tensor(uint8)",
    "bool": "tensor(bool)",
}


class SessionOpener:
    """Opens graphs, all with the same providers and threads.

    Args:
        bundle: determines the providers' options; None for other graphs, with default options.
        providers: execution providers in order of preference; all must start, and no others
            compute. None for the GPU if there is one, else the CPU.
        threads: threads per graph on the CPU; None leaves it to ONNX Runtime.
        half_scales: whether the graphs have Q/DQ nodes with scales in FP16;
            :data:`BIAS_ROUNDING` is then disabled.

    Attributes:
        stream: the stream that all graphs of the bundle compute in, which must outlive them; None
            if no provider accepts one, or there is no device.
        widens: whether 8-bit products are widened, because they could saturate on this CPU.

    Raises:
        BackendError: a provider is not in this onnxruntime.
    """

    def __init__(
        self,
        bundle: Bundle | None,
        providers: Sequence[str] | None,
        threads: int | None,
        *,
        half_scales: bool = False,
    ) -> None:
        self._bundle = bundle
        self._providers = _choose_providers(providers)
        shares = bundle is not None and not set(STREAMING).isdisjoint(self._providers)
        self.stream = open_stream() if shares else None
        self._required = self._providers if providers is not None else ()
        self._threads = threads
        self._disabled = [BIAS_ROUNDING] if half_scales else []
        int8 = None if bundle is None else bundle.manifest.quantization
        self.widens = (int8 is None or int8.needs_vnni) and needs_exact_products()

    def open_graph(
        self, entry: GraphEntry, content: bytes, *, gated: bool, profile: Path | None = None
    ) -> Any:
        """Open a file of the bundle; ``gated`` graphs also read a threshold.

        With ``profile``, each run's profile is written to files with that prefix.

        Raises:
            BackendError: onnxruntime cannot load it, or a provider does not start.
            BundleError: its tensors are not those of the manifest.
        """
        try:
            options = self._options(self._providers, entry)
            session = self._open(content, self._threads, options, profile)
            _check_tensors(entry, session, gated)  # ONNX Runtime reads names only now
        except (BackendError, BundleError):
            raise
        except Exception as error:  # onnxruntime's errors have no other common base
            reason = first_line(error)
            if CPU_IS_OFF in reason:
                raise BackendError(
                    f"{entry.file}: {self._required[0]} did not start here (driver or library "
                    f"missing?), or does not have all of its nodes; name {CPU} behind it to let "
                    "the CPU have the others"
                ) from error
            raise BackendError(f"{entry.file}: onnxruntime cannot load it: {reason}") from error
        return session

    def open_row_selection(self, dtype: str) -> Any:
        """Open the graph ``selected = features[rows]`` for features of any rank."""
        file = resources.files(__package__) / f"select_rows_{dtype}.onnx"
        # one thread: a copy of rows ends before a second thread is awake
        # TensorRT has no engines for features of any rank, so CUDA copies rows on the same device
        providers = [CUDA if name == TENSORRT else name for name in self._providers]
        return self._open(file.read_bytes(), 1, self._options(providers, None))

    def started_provider(self, session: Any) -> str:
        """Return the provider that a session runs on; a fallback only if none was named."""
        started = str(session.get_providers()[0])
        if started != self._providers[0]:
            logger.warning("%s did not start, running on %s", self._providers[0], started)
        return started

    def _options(
        self, providers: Iterable[str], entry: GraphEntry | None
    ) -> dict[str, dict[str, str]]:
        """Return each provider's options, for a graph of the bundle or for any other."""
        options: dict[str, dict[str, str]] = {name: {} for name in providers}
        for name, more in options.items():
            if self._bundle is not None and entry is not None:
                more |= provider_options(name, self._bundle, entry)
            if self.stream is not None and name in STREAMING:
                more["user_compute_stream"] = str(self.stream.handle)
        return options

    def _open(
        self,
        content: bytes,
        threads: int | None,
        providers: dict[str, dict[str, str]],
        profile: Path | None = None,
    ) -> Any:
        options = onnxruntime.SessionOptions()
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        options.log_severity_level = 3  # errors only; they are raised as well
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        # Each session has its own threads. By default they keep spinning after a run, on the cores
        # that the next graph needs: on 2 cores that made a chain of graphs 4 times slower.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if self.widens:
            options.add_session_config_entry(PRECISE_PRODUCTS, "1")
        # else bytes that look like ONNX Runtime's own format are loaded as that, unchecked
        options.add_session_config_entry("session.load_model_format", "ONNX")
        if self._required and CPU not in self._required:
            # else the CPU silently runs the nodes that the others do not have
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=list(providers.items()),
            disabled_optimizers=self._disabled,
        )
        started = session.get_providers()
        required = providers if self._required else ()
        missing = [provider for provider in required if provider not in started]
        if missing:
            raise BackendError(
                f"{missing[0]} is in this onnxruntime but did not start here (driver or "
                f"library missing?); started: {', '.join(started)}"
            )
        return session


def first_line(error: Exception) -> str:
    """Return the message of an error of ONNX Runtime, without the lines about its origin."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _check_tensors(entry: GraphEntry, session: Any, gated: bool) -> None:
    """Check a graph's tensors: buffers of the manifest's sizes and types are bound to them.

    Raises:
        BundleError: they differ from the manifest's.
    """
    threshold = (TensorInfo(THRESHOLD, "float32", ()),) if gated else ()  # (1,) like a batch of 1
    for kind, expected, tensors in (
        ("inputs", (*entry.inputs, *threshold), session.get_inputs()),
        ("outputs", entry.outputs, session.get_outputs()),
    ):
        got = {tensor.name: tensor for tensor in tensors}
        if set(got) != {tensor.name for tensor in expected}:
            raise BundleError(
                f"{entry.file}: expected {kind} {', '.join(info.name for info in expected)} by the "
                f"manifest, got {', '.join(got)}; export the bundle again"
            )
        for info in expected:
            if not _fits(info, got[info.name]):
                raise BundleError(
                    f"{entry.file}: expected {info.name} {info.dtype} {info.shape} by the "
                    f"manifest, got {got[info.name].type} {tuple(got[info.name].shape[1:])}; "
                    "export the bundle again"
                )


def _fits(info: TensorInfo, tensor: Any) -> bool:
    """Whether a graph's tensor has this type and shape; its dynamic sizes fit any."""
    sizes = tensor.shape[1:]
    return (
        tensor.type == TYPES[info.dtype]
        and len(sizes) == len(info.shape)
        and all(
            not isinstance(size, int) or size == expected
            for size, expected in zip(sizes, info.shape, strict=True)
        )
    )


def _choose_providers(providers: Sequence[str] | None) -> tuple[str, ...]:
    available = onnxruntime.get_available_providers()
    if isinstance(providers, str):
        raise InputError(f"providers: expected a list such as ['{CPU}'], got {providers!r}")
    if providers is None:
        return (CUDA, CPU) if CUDA in available else (CPU,)
    if not providers:
        raise BackendError(f"providers: expected at least one of {', '.join(available)}")
    for provider in providers:
        if provider not in available:
            raise BackendError(
                f"providers: {provider} is not in this onnxruntime; it has {', '.join(available)}"
            )
    return tuple(providers)
