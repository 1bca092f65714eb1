"""A bundle's file -> a compiled model of OpenVINO, checked.

OpenVINO accepts files of seven formats, computes FP32 in BF16 if the CPU has it, and accepts any
tensors in a file; the models compiled here are ONNX files with the tensors of the manifest, in the
precision of the bundle.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from edgeexit_runtime.backends.openvino.backend import CPU
from edgeexit_runtime.backends.openvino.library import FrontEndManager, new_core
from edgeexit_runtime.backends.openvino.products import EXACT, are_products_exact
from edgeexit_runtime.bundle.manifest import THRESHOLD, GraphEntry, Manifest, TensorInfo
from edgeexit_runtime.errors import BackendError, BundleError

NAMES = {"f32": "fp32", "f16": "fp16", "i8": "int8", "u8": "int8"}  # of OpenVINO's precisions
HEAVY = {"Convolution", "FullyConnected", "MatMul", "GroupConvolution", "Deconvolution"}


class ModelCompiler:
    """Compiles graphs, all for the same device, precision and threads.

    Args:
        device: such as ``CPU`` or ``GPU.1``.
        threads: per graph on the CPU; None leaves it to OpenVINO.
        half: whether FP16 is sufficient; a device without it uses BF16, else FP32.
        may_saturate: whether sums of 8-bit products may exceed the 16 bits of some CPUs.

    Attributes:
        sums_exactly: whether 8-bit layers are computed in 8 bits; if their sums would not be
            exact, they are computed in floating point.

    Raises:
        BackendError: there is no such device.
    """

    def __init__(self, device: str, threads: int | None, *, half: bool, may_saturate: bool) -> None:
        self.device = device
        self._core = new_core()
        found = list(self._core.available_devices)
        if device not in found and not any(name.startswith(f"{device}.") for name in found):
            raise BackendError(
                f"device: expected one that OpenVINO finds here ({', '.join(found) or 'none'}), "
                f"got {device}; is its driver installed?"
            )
        capable = self._core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        hints = {"FP16": "f16", "BF16": "bf16"} if half else {}
        wanted = [hint for kind, hint in hints.items() if kind in capable]
        self._config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": wanted[0] if wanted else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "CACHE_DIR": "",  # nothing is written outside of the bundle
        }
        if device == CPU:
            # the system places threads: pinned, two sessions would share one core
            self._config["ENABLE_CPU_PINNING"] = False
            if threads is not None:
                self._config["INFERENCE_NUM_THREADS"] = threads
        self.sums_exactly = not may_saturate or device != CPU or are_products_exact()
        if not self.sums_exactly:
            self._config |= EXACT

    @property
    def device_name(self) -> str:
        """The device's full name from its maker."""
        return str(self._core.get_property(self.device, "FULL_DEVICE_NAME"))

    def compile(self, entry: GraphEntry, content: bytes, *, gated: bool, max_batch: int) -> Any:
        """Compile a file of the bundle; ``gated`` graphs also read a threshold.

        Raises:
            BackendError: OpenVINO cannot load it.
            BundleError: its tensors are not those of the manifest.
        """
        inputs = (*entry.inputs, *threshold_of(gated))
        try:
            frontend = FrontEndManager().load_by_framework("onnx")
            model = frontend.convert(frontend.load(io.BytesIO(content)))
            _check_tensors(entry.file, "inputs", inputs, model.inputs)
            _check_tensors(entry.file, "outputs", entry.outputs, model.outputs)
            if max_batch == 1:  # a graph with static shapes is faster
                model.reshape({info.name: [1, *info.shape] for info in entry.inputs})
            return self._core.compile_model(model, self.device, self._config)
        except (BackendError, BundleError):
            raise
        except Exception as error:  # mostly RuntimeError; others for names that are not text
            raise BackendError(
                f"{entry.file}: openvino cannot load it: {first_line(error)}"
            ) from error


def wants_half(manifest: Manifest) -> bool:
    """Whether a bundle's features that are not in 8 bits are in FP16."""
    int8 = manifest.quantization
    return manifest.precision == "fp16" or (int8 is not None and int8.fallback == "fp16")


def threshold_of(gated: bool) -> tuple[TensorInfo, ...]:
    """Return the threshold that a gated graph also reads; it is (1,) like a batch of 1."""
    return (TensorInfo(THRESHOLD, "float32", ()),) if gated else ()


def ports(infos: Iterable[TensorInfo], found: Iterable[Any]) -> dict[str, Any]:
    """Return the port of each tensor; a port has all the names that a tensor had in its graph."""
    by_name = {name: port for port in found for name in port.get_names()}
    return {info.name: by_name[info.name] for info in infos if info.name in by_name}


def layer_precisions(models: Iterable[Any]) -> str:
    """Return the precisions that convolutions and products of compiled models run in."""
    counts: Counter[str] = Counter()
    for model in models:
        for node in model.get_runtime_model().get_ops():
            info = node.get_rt_info()
            if "layerType" in info and _text(info["layerType"]) in HEAVY:
                precision = _text(info["runtimePrecision"])
                counts[NAMES.get(precision, precision)] += 1
    return ", ".join(f"{precision} {count}" for precision, count in counts.most_common()) or "none"


def first_line(error: Exception) -> str:
    """Return the message of an error of OpenVINO, without the lines about its origin."""
    lines = [line for line in str(error).splitlines() if line and "Exception from src" not in line]
    return lines[0] if lines else type(error).__name__


def _check_tensors(
    file: str, kind: str, expected: tuple[TensorInfo, ...], found: list[Any]
) -> None:
    """Check a graph's tensors: buffers of the manifest's sizes and types are bound to them.

    Raises:
        BundleError: they differ from the manifest's.
    """
    named = ports(expected, found)
    if len(named) != len(expected) or len(found) != len(expected):
        got = (min(port.get_names(), default="?") for port in found)
        raise BundleError(
            f"{file}: expected {kind} {', '.join(info.name for info in expected)} by the manifest, "
            f"got {', '.join(got)}; export the bundle again"
        )
    for info in expected:
        port = named[info.name]
        dtype, shape = port.get_element_type().to_dtype(), port.get_partial_shape()
        if dtype != np.dtype(info.dtype) or not _fits(info, shape):
            raise BundleError(
                f"{file}: expected {info.name} {info.dtype} {info.shape} by the manifest, got "
                f"{dtype} {shape}; export the bundle again"
            )


def _fits(info: TensorInfo, shape: Any) -> bool:
    """Whether a shape after its batch dimension is this one; dynamic sizes fit any."""
    if shape.rank.is_dynamic or len(shape) != len(info.shape) + 1:
        return False
    sizes = list(shape)[1:]
    return all(
        size.is_dynamic or size.get_length() == expected
        for size, expected in zip(sizes, info.shape, strict=True)
    )


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
