"""One ONNX graph of a bundle -> one serialized engine, by TensorRT or TensorRT-RTX.

The network is strongly typed: every layer computes in its precision in the file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgeexit_runtime.backends.tensorrt.engine_check import Here, runs_on
from edgeexit_runtime.backends.tensorrt.log import Reasons, process_log
from edgeexit_runtime.backends.tensorrt.progress import make_monitor
from edgeexit_runtime.backends.tensorrt.versions import TensorRt
from edgeexit_runtime.bundle.engine_entry import FROM_INSPECTOR, FROM_NETWORK, EngineOptions
from edgeexit_runtime.bundle.manifest import THRESHOLD, Manifest
from edgeexit_runtime.engines.floating import FloatingConvolutions
from edgeexit_runtime.engines.layers import (
    EngineLayers,
    NetworkLayers,
    engine_layers,
    network_layers,
    require_precision,
    shares,
)
from edgeexit_runtime.errors import BackendError, BundleError

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = re.compile(r"out ?of ?memory|bad_alloc|memoryallocation", re.IGNORECASE)
WORKSPACE = re.compile(r"insufficient workspace", re.IGNORECASE)

Report = Callable[[str, float], None]
"""Called with the builder's current phase and the share of the build that is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a bundle's engines are built.

    Attributes:
        place: this machine, and the library.
        options: build options.
        compute_capability: of the GPUs to build for; None for the library's default.
    """

    place: Here
    options: EngineOptions
    compute_capability: str | None


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


class GraphBuild:
    """The build of one graph's engine.

    Args:
        trt: the library.
        plan: how to build.
        manifest: the bundle's.
        name: the graph's name.
    """

    def __init__(self, trt: TensorRt, plan: Plan, manifest: Manifest, name: str) -> None:
        self._trt, self._plan, self._manifest, self._name = trt, plan, manifest, name
        self._graph = manifest.all_graphs()[name]
        self._reasons = Reasons(logger, logging.DEBUG)

    def run(self, content: bytes, timing_cache: bytes, report: Report) -> BuiltEngine:
        """Build the engine and check its precision.

        Args:
            content: the ONNX file.
            timing_cache: timings of earlier builds, or empty.
            report: progress callback.

        Raises:
            BackendError: the file cannot be read, memory is short, the build fails, or the engine
                has another precision than the bundle.
            BundleError: the file differs from the manifest.
            KeyboardInterrupt: Ctrl-C; TensorRT has stopped.
        """
        with self._reasons:
            return self._run(content, timing_cache, report)

    def _run(self, content: bytes, timing_cache: bytes, report: Report) -> BuiltEngine:
        trt, reasons = self._trt, self._reasons
        builder = self._start()
        network = trt.create_network(builder)
        self._parse(network, content)
        self._require_precision(network_layers(network), None)
        config = builder.create_builder_config()
        trt.configure(config, self._plan.options, self._plan.compute_capability)
        config.add_optimization_profile(self._profile(builder, network))
        cache = trt.attach_timing_cache(config, timing_cache)
        config.progress_monitor = make_monitor(trt.module, report, reasons)
        floating = FloatingConvolutions(trt.module, network)
        engine = self._serialize(builder, network, config)
        while engine is None and floating.put_back(reasons.errors):  # at least one each time
            reasons.errors.clear()
            engine = self._serialize(builder, network, config)
        if engine is None:
            raise self._failed()
        layers, layers_from = self._prove(engine, network_layers(network))
        measured = bytes(cache.serialize()) if cache is not None else b""
        return BuiltEngine(engine, layers, layers_from, tuple(floating.names), measured)

    def _start(self) -> Any:
        try:
            return self._trt.module.Builder(process_log(self._trt.module))
        except (TypeError, RuntimeError) as error:  # pybind11 raises TypeError for a null pointer
            raise self._failed("it does not start (driver missing?)") from error

    def _parse(self, network: Any, content: bytes) -> None:
        trt = self._trt
        parser = trt.module.OnnxParser(network, process_log(trt.module))
        if not parser.parse(content):
            errors = [trt.parser_error(parser.get_error(i)) for i in range(parser.num_errors)]
            reason = errors[0] if errors else self._reasons.reason()
            raise BackendError(f"{self._graph.file}: {trt.title} cannot read the graph: {reason}")

    def _profile(self, builder: Any, network: Any) -> Any:
        """Return the profile of batch sizes 1 to max; an exit's threshold has a fixed size."""
        shapes = {tensor.name: tensor.shape for tensor in self._graph.inputs}
        sizes = (1, self._plan.options.opt_batch, self._manifest.max_batch)
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            name = network.get_input(index).name
            if name == THRESHOLD:
                continue
            if name not in shapes:
                raise BundleError(
                    f"{self._graph.file}: expected the inputs {', '.join(shapes)} by the manifest, "
                    f"got {name}; export the bundle again"
                )
            profile.set_shape(name, *((size, *shapes[name]) for size in sizes))
        return profile

    def _serialize(self, builder: Any, network: Any, config: Any) -> Any:
        """Return an engine, or None if TensorRT has logged why there is none."""
        try:
            engine = builder.build_serialized_network(network, config)
        except MemoryError as error:
            raise self._failed("out of memory") from error
        except RuntimeError as error:  # any C++ exception
            raise self._failed(str(error)) from error
        if self._reasons.cancelled:
            raise KeyboardInterrupt
        return engine

    def _prove(self, engine: Any, declared: NetworkLayers) -> tuple[dict[str, float], str]:
        """Return the share of layers per precision, checked, and where it is from."""
        layers = self._inspect(engine)
        promised = declared.promised
        if layers is None or (layers.opaque and promised and promised not in layers.layers):
            return shares(declared.layers), FROM_NETWORK
        self._require_precision(declared, layers)
        return shares(layers.layers), FROM_INSPECTOR

    def _require_precision(self, declared: NetworkLayers, layers: EngineLayers | None) -> None:
        precision = self._manifest.precision
        require_precision(self._trt.title, self._name, precision, declared, layers)

    def _inspect(self, content: Any) -> EngineLayers | None:
        """Return the layers from the engine inspector; None if not loaded here or not reported."""
        trt, options, gpu = self._trt, self._plan.options, self._plan.place.gpu
        if gpu is None or not runs_on(self._plan.compute_capability, gpu, trt.is_rtx):
            return None
        engine = trt.open_engine(trt.module.Runtime(process_log(trt.module)), content, options)
        if engine is None:
            raise self._failed("the engine was built but does not load")
        inspector = engine.create_engine_inspector()
        as_json = trt.module.LayerInformationFormat.JSON
        layers = engine_layers(trt, inspector.get_engine_information(as_json))
        if layers.layers:
            return layers
        # some versions do not report formats for dynamic shapes, only for one batch size
        context = engine.create_execution_context()
        if context is None:
            return None
        for tensor in self._graph.inputs:
            context.set_input_shape(tensor.name, (options.opt_batch, *tensor.shape))
        inspector.execution_context = context
        layers = engine_layers(trt, inspector.get_engine_information(as_json))
        return layers if layers.layers else None

    def _failed(self, otherwise: str = "") -> BackendError:
        """Return an error with the reason that TensorRT has logged for a failed build."""
        name, title, reasons = self._name, self._trt.title, self._reasons
        logged = " ".join((*reasons.errors, otherwise))
        if WORKSPACE.search(logged):
            return BackendError(
                f"{name}: the workspace of {self._plan.options.workspace_mib} MiB is too small for "
                f"{title} ({reasons.reason(WORKSPACE)}); allow more of it"
            )
        if OUT_OF_MEMORY.search(logged):
            reason = reasons.reason(OUT_OF_MEMORY) or otherwise
            return BackendError(
                f"{name}: the build ran out of memory ({reason}); "
                "close other programs, limit the workspace or choose a lower optimization level"
            )
        reason = reasons.reason() or otherwise or "no reason"
        return BackendError(f"{name}: {title} could not build it: {reason}")
