"""One ONNX graph of a bundle -> one serialized engine, by TensorRT or TensorRT-RTX.

The network is strongly typed: every layer computes in its precision in the file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.tensorrt.log import Reasons, process_log
from edgeexit_runtime.backends.tensorrt.progress import Cancelled, make_monitor
from edgeexit_runtime.backends.tensorrt.versions import TensorRt
from edgeexit_runtime.bundle.engine_entry import FROM_INSPECTOR, FROM_NETWORK, EngineOptions
from edgeexit_runtime.bundle.manifest import THRESHOLD, GraphEntry
from edgeexit_runtime.engines.floating import FloatingConvolutions
from edgeexit_runtime.engines.layers import (
    EngineLayers,
    NetworkLayers,
    engine_layers,
    network_layers,
    require_precision,
)
from edgeexit_runtime.errors import BackendError, BundleError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = re.compile(r"out ?of ?memory|bad_alloc|memoryallocation", re.IGNORECASE)
WORKSPACE = re.compile(r"insufficient workspace", re.IGNORECASE)

Report = Callable[[str, float], None]
"""Called with the builder's current phase and the share of the build that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a build.

    Attributes:
        name: the graph's name, for messages.
        graph: the graph's entry in the manifest.
        precision: the bundle's precision.
        max_batch: the largest batch of the optimization profile; the smallest is 1.
        options: build options.
        compute_capability: of the GPUs to build for; None for the library's default.
        target_is_here: whether this machine's GPU can load the engine; it is then checked.
    """

    name: str
    graph: GraphEntry
    precision: str
    max_batch: int
    options: EngineOptions
    compute_capability: str | None
    target_is_here: bool


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A serialized engine in TensorRT's memory, and the precisions of its layers.

    ``floating`` are convolutions in floating point that are in 8 bits in the ONNX file.
    """

    content: Any  # an IHostMemory, which is a buffer
    layers: dict[str, float]
    layers_from: str
    floating: tuple[str, ...]
    timing_cache: bytes


def build_engine(
    trt: TensorRt, plan: Plan, content: bytes, timing_cache: bytes, report: Report
) -> BuiltEngine:
    """Build a graph's engine and check its precision.

    Args:
        trt: the library.
        plan: the parameters of the build.
        content: the ONNX file.
        timing_cache: timings of earlier builds, or empty.
        report: progress callback.

    Raises:
        BackendError: the file cannot be read, memory is short, the build fails, or the engine has
            another precision than the bundle.
        BundleError: the file differs from the manifest.
        KeyboardInterrupt: Ctrl-C; TensorRT has stopped.
    """
    cancelled = Cancelled()
    reasons = Reasons(logger, logging.DEBUG, cancelled)
    with reasons:
        return _build(trt, plan, content, timing_cache, report, reasons)


def _build(
    trt: TensorRt,
    plan: Plan,
    content: bytes,
    timing_cache: bytes,
    report: Report,
    reasons: Reasons,
) -> BuiltEngine:
    builder = _start(trt, plan, reasons)
    network = trt.create_network(builder)
    _parse(trt, network, plan, content, reasons)
    require_precision(trt.title, plan.name, plan.precision, network_layers(network), None)
    config = builder.create_builder_config()
    trt.configure(config, plan.options, plan.compute_capability)
    config.add_optimization_profile(_profile(builder, network, plan))
    cache = trt.attach_timing_cache(config, timing_cache)
    config.progress_monitor = make_monitor(trt.module, report, reasons.cancelled)
    floating = FloatingConvolutions(trt.module, network)
    engine = _serialize(trt, plan, builder, network, config, reasons)
    while engine is None and floating.put_back(reasons.errors):  # at least one each time
        reasons.errors.clear()
        engine = _serialize(trt, plan, builder, network, config, reasons)
    if engine is None:
        raise _failed(trt, plan, reasons)
    declared = network_layers(network)
    layers, layers_from = _prove(trt, plan, engine, declared, reasons)
    measured = bytes(cache.serialize()) if cache is not None else b""
    return BuiltEngine(engine, layers, layers_from, tuple(floating.names), measured)


def _serialize(
    trt: TensorRt, plan: Plan, builder: Any, network: Any, config: Any, reasons: Reasons
) -> Any:
    """Return an engine, or None if TensorRT has logged why there is none."""
    try:
        engine = builder.build_serialized_network(network, config)
    except MemoryError as error:
        raise _failed(trt, plan, reasons, "out of memory") from error
    except RuntimeError as error:  # any C++ exception
        raise _failed(trt, plan, reasons, str(error)) from error
    if reasons.cancelled:
        raise KeyboardInterrupt
    return engine


def _start(trt: TensorRt, plan: Plan, reasons: Reasons) -> Any:
    try:
        return trt.module.Builder(process_log(trt.module))
    except (TypeError, RuntimeError) as error:  # pybind11 raises TypeError for a null pointer
        raise _failed(trt, plan, reasons, "it does not start (driver missing?)") from error


def _parse(trt: TensorRt, network: Any, plan: Plan, content: bytes, reasons: Reasons) -> None:
    parser = trt.module.OnnxParser(network, process_log(trt.module))
    if not parser.parse(content):
        errors = [trt.parser_error(parser.get_error(i)) for i in range(parser.num_errors)]
        reason = errors[0] if errors else reasons.reason()
        raise BackendError(f"{plan.graph.file}: {trt.title} cannot read the graph: {reason}")


def _profile(builder: Any, network: Any, plan: Plan) -> Any:
    """Return the profile of batch sizes 1 to max; an exit's threshold has a fixed size."""
    shapes = {tensor.name: tensor.shape for tensor in plan.graph.inputs}
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        if name == THRESHOLD:
            continue
        if name not in shapes:
            raise BundleError(
                f"{plan.graph.file}: expected the inputs {', '.join(shapes)} by the manifest, got "
                f"{name}; export the bundle again"
            )
        sizes = (1, plan.options.opt_batch, plan.max_batch)
        profile.set_shape(name, *((size, *shapes[name]) for size in sizes))
    return profile


def _prove(
    trt: TensorRt, plan: Plan, engine: Any, declared: NetworkLayers, reasons: Reasons
) -> tuple[dict[str, float], str]:
    """Return the share of layers per precision, checked, and the source of that information."""
    layers = _inspect(trt, plan, engine, reasons)
    promised = declared.promised
    if layers is None or (layers.opaque and promised and not layers.shows(promised)):
        return declared.shares, FROM_NETWORK
    require_precision(trt.title, plan.name, plan.precision, declared, layers)
    return layers.shares, FROM_INSPECTOR


def _inspect(trt: TensorRt, plan: Plan, content: Any, reasons: Reasons) -> EngineLayers | None:
    """Return the layers from the engine inspector; None if not loaded here or not reported."""
    if not plan.target_is_here:
        return None
    engine = trt.open_engine(trt.module.Runtime(process_log(trt.module)), content, plan.options)
    if engine is None:
        raise _failed(trt, plan, reasons, "the engine was built but does not load")
    inspector = engine.create_engine_inspector()
    as_json = trt.module.LayerInformationFormat.JSON
    layers = engine_layers(trt, inspector.get_engine_information(as_json))
    if layers.layers:
        return layers
    # some versions do not report formats for dynamic shapes, only for one batch size
    context = engine.create_execution_context()
    if context is None:
        return None
    for tensor in plan.graph.inputs:
        context.set_input_shape(tensor.name, (plan.options.opt_batch, *tensor.shape))
    inspector.execution_context = context
    layers = engine_layers(trt, inspector.get_engine_information(as_json))
    return layers if layers.layers else None


def _failed(trt: TensorRt, plan: Plan, reasons: Reasons, otherwise: str = "") -> BackendError:
    """Return an error with the reason that TensorRT has logged for a failed build."""
    logged = " ".join((*reasons.errors, otherwise))
    if WORKSPACE.search(logged):
        return BackendError(
            f"{plan.name}: the workspace of {plan.options.workspace_mib} MiB is too small for "
            f"{trt.title} ({reasons.reason(WORKSPACE)}); allow more of it"
        )
    if OUT_OF_MEMORY.search(logged):
        reason = reasons.reason(OUT_OF_MEMORY) or otherwise
        return BackendError(
            f"{plan.name}: the build ran out of memory ({reason}); "
            "close other programs, limit the workspace or choose a lower optimization level"
        )
    reason = reasons.reason() or otherwise or "no reason"
    return BackendError(f"{plan.name}: {trt.title} could not build it: {reason}")
