"""A double of TensorRT that knows the attributes that the builder uses, and no others.

``test_rtx.py`` asserts that each of them exists in the real TensorRT-RTX.
"""

from __future__ import annotations

import enum
import importlib.machinery
import inspect
import json
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from edgeexit_runtime.backends.cuda.device import Gpu
from support.hardware import ORIN, place_gpu


def enum_of(name: str, *members: str) -> Any:
    return enum.IntEnum(name, [(member, index) for index, member in enumerate(members)])


LayerType = enum_of(
    "LayerType",
    *("CONVOLUTION", "MATRIX_MULTIPLY", "ACTIVATION", "SOFTMAX", "CONSTANT", "CAST", "SHUFFLE"),
    *("QUANTIZE", "DEQUANTIZE", "TOPK"),
)
DataType = enum_of("DataType", "FLOAT", "HALF", "INT8", "INT32", "INT64", "BOOL")


@dataclass
class ITensor:
    name: str
    dtype: Any


@dataclass
class ILayer:
    """``reads`` and ``writes`` are tensors; their names link layers."""

    type: Any
    reads: list[ITensor]
    writes: list[ITensor]

    @property
    def num_inputs(self) -> int:
        return len(self.reads)

    @property
    def num_outputs(self) -> int:
        return len(self.writes)

    def get_input(self, index: int) -> ITensor:
        return self.reads[index]

    def get_output(self, index: int) -> ITensor:
        return self.writes[index]


class INetworkDefinition:
    def __init__(self) -> None:
        self.layers: list[ILayer] = []
        self.inputs: list[ITensor] = []

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_layer(self, index: int) -> ILayer:
        return self.layers[index]

    def get_input(self, index: int) -> ITensor:
        return self.inputs[index]


def layer(kind: str, dtype: str, reads: str = "in", writes: str = "out") -> ILayer:
    """``layer("CONVOLUTION", "HALF", "a b", "c")``: all of its tensors have the one type."""
    tensors = [
        [ITensor(name, DataType[dtype]) for name in names.split()] for names in (reads, writes)
    ]
    return ILayer(LayerType[kind], *tensors)


def network_of(*layers: ILayer) -> INetworkDefinition:
    network = INetworkDefinition()
    network.layers = list(layers)
    return network


def information(*layers: tuple[str, str], key: str = "Format/Datatype") -> str:
    """What the inspector says of layers, each a type and the words of its tensors' format."""
    listed = [
        {
            "Name": f"layer{i}",
            "LayerType": kind,
            "Inputs": [{key: words}],
            "Outputs": [{key: words}],
        }
        for i, (kind, words) in enumerate(layers)
    ]
    return json.dumps({"Layers": listed, "Bindings": ["images"]})


@dataclass
class Behaviour:
    """What the double does; ``calls`` is what was asked of it, in order."""

    layers: list[ILayer] = field(default_factory=lambda: [layer("CONVOLUTION", "FLOAT")])
    information: str = information(("CaskConvolution", "Float"))
    information_of_context: str | None = None
    inputs: tuple[str, ...] | None = None
    parse_errors: tuple[tuple[str, str, str], ...] = ()
    engine: Any = b"engine"
    logged: tuple[tuple[str, str], ...] = ()
    building: Callable[[Any], None] = lambda monitor: None
    loads: bool = True
    cache_fits: bool = True
    starts: bool = True
    calls: list[Any] = field(default_factory=list)


def make_module(version: str, rtx: bool, behaviour: Behaviour) -> types.ModuleType:
    """The module; what 10.3, later 10.x and 11 have and have not is by ``version``."""
    calls = behaviour.calls
    release = tuple(int(part) for part in version.split(".")[:2])

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING = 0, 1, 2

        def __init__(self) -> None:
            calls.append("logger")

    class IProgressMonitor:
        def __init__(self) -> None:
            calls.append("monitor")

    class ITimingCache:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def serialize(self) -> bytes:
            return self.content + b"+"

    class IOptimizationProfile:
        def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
            calls.append(("set_shape", name, *shapes))

    class IBuilderConfig:
        SETTABLE = (
            *("profiling_verbosity", "builder_optimization_level", "max_aux_streams"),
            *("hardware_compatibility_level", "progress_monitor"),
            *(("num_compute_capabilities",) if rtx else ()),
        )

        def __setattr__(self, name: str, value: Any) -> None:
            if name not in self.SETTABLE:
                raise AttributeError(name)
            object.__setattr__(self, name, value)
            if name != "progress_monitor":
                calls.append((name, getattr(value, "name", value)))

        def set_memory_pool_limit(self, pool: Any, size: int) -> None:
            calls.append(("set_memory_pool_limit", pool.name, size))

        def set_flag(self, flag: Any) -> None:
            calls.append(("set_flag", flag.name))

        def clear_flag(self, flag: Any) -> None:
            calls.append(("clear_flag", flag.name))

        def add_optimization_profile(self, profile: Any) -> None:
            calls.append("add_optimization_profile")

        def create_timing_cache(self, content: bytes) -> ITimingCache:
            assert not rtx, "deprecated there"
            return ITimingCache(content)

        def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            calls.append(("set_timing_cache", cache.content))
            return behaviour.cache_fits or not cache.content

        if rtx:

            def set_compute_capability(self, capability: Any, index: int) -> bool:
                calls.append(("set_compute_capability", capability.name, index))
                return True

    class Builder:
        def __init__(self, log: Any) -> None:
            if not behaviour.starts:
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self._log = log

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            calls.append(("create_network", flags))
            return INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            calls.append("build_serialized_network")
            for severity, message in behaviour.logged:
                self._log.log(getattr(ILogger, severity), message)
            behaviour.building(config.progress_monitor)
            if isinstance(behaviour.engine, BaseException):
                raise behaviour.engine
            return behaviour.engine

    class ParserError:
        def __init__(self, operator: str, name: str, reason: str) -> None:
            self._fields = (operator, name, reason)

        def node_operator(self) -> str:
            return self._fields[0]

        def node_name(self) -> str:
            return self._fields[1]

        def desc(self) -> str:
            return self._fields[2]

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, log: Any) -> None:
            self._network = network

        def parse(self, content: bytes) -> bool:
            import onnx

            self._network.layers = behaviour.layers
            names = behaviour.inputs
            if names is None:
                names = tuple(tensor.name for tensor in onnx.load_from_string(content).graph.input)
            self._network.inputs = [ITensor(name, DataType.FLOAT) for name in names]
            return not behaviour.parse_errors

        @property
        def num_errors(self) -> int:
            return len(behaviour.parse_errors)

        def get_error(self, index: int) -> ParserError:
            return ParserError(*behaviour.parse_errors[index])

    class IExecutionContext:
        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            calls.append(("set_input_shape", name, shape))
            return True

    class EngineInspector:
        execution_context: Any = None

        def get_engine_information(self, format: Any) -> str:
            assert format.name == "JSON"
            if self.execution_context is not None:
                return str(behaviour.information_of_context)
            return behaviour.information

    class ICudaEngine:
        def create_engine_inspector(self) -> EngineInspector:
            return EngineInspector()

        def create_execution_context(self) -> IExecutionContext | None:
            return IExecutionContext() if behaviour.information_of_context else None

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, log: Any) -> None:
            pass

        def deserialize_cuda_engine(self, content: Any) -> ICudaEngine | None:
            calls.append(("deserialize_cuda_engine", self.engine_host_code_allowed))
            return ICudaEngine() if behaviour.loads else None

    module = types.ModuleType("tensorrt_rtx" if rtx else "tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    levels = ("NONE", "AMPERE_PLUS")
    if release >= (10, 12):
        levels += ("SAME_COMPUTE_CAPABILITY",)
    flags = ("TF32", "VERSION_COMPATIBLE", *(("REQUIRE_USER_ALLOCATION",) if rtx else ()))
    contents: dict[str, Any] = {
        "__version__": version,
        "BuilderFlag": enum_of("BuilderFlag", *flags),
        "HardwareCompatibilityLevel": enum_of("HardwareCompatibilityLevel", *levels),
        "LayerInformationFormat": enum_of("LayerInformationFormat", "ONELINE", "JSON"),
        "MemoryPoolType": enum_of("MemoryPoolType", "WORKSPACE"),
        "ProfilingVerbosity": enum_of("ProfilingVerbosity", "DETAILED"),
        "LayerType": LayerType,
        "DataType": DataType,
        "ITensor": ITensor,
        "ILayer": ILayer,
        "INetworkDefinition": INetworkDefinition,
    }
    if rtx:
        contents["ComputeCapability"] = enum_of("ComputeCapability", "NONE", "SM86", "SM120")
    if rtx or release < (11, 0):  # deprecated since, and not needed
        flag = enum_of("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", "STRONGLY_TYPED")
        contents["NetworkDefinitionCreationFlag"] = flag
    classes = (
        *(ILogger, IProgressMonitor, ITimingCache, IOptimizationProfile, IBuilderConfig, Builder),
        *(ParserError, OnnxParser, IExecutionContext, EngineInspector, ICudaEngine, Runtime),
    )
    contents |= {kind.__name__: kind for kind in classes}
    vars(module).update(contents)
    return module


# set by Python code of ours, never asked of TensorRT
OURS = {"calls", "content", "layers", "inputs", "reads", "writes", "SETTABLE"}


def attributes(module: types.ModuleType) -> set[tuple[str, str]]:
    """Return every class of a double with each of its attributes that the real one must have."""
    names: set[tuple[str, str]] = set()
    for title, kind in vars(module).items():
        if not inspect.isclass(kind):
            continue
        is_enumeration = issubclass(kind, enum.Enum)
        members = set(kind.__members__) if is_enumeration else set(vars(kind))
        members |= {*getattr(kind, "SETTABLE", ()), *vars(kind).get("__annotations__", ())}
        names |= {(title, name) for name in members - OURS if not name.startswith("_")}
    return names


class Doubles:
    """``install(version)`` puts a double in the place of the library, and gives its behaviour."""

    layer = staticmethod(layer)
    network_of = staticmethod(network_of)
    information = staticmethod(information)
    module = staticmethod(make_module)
    attributes = staticmethod(attributes)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def install(
        self, version: str = "10.3.0", *, rtx: bool = False, gpu: Gpu | None = ORIN, **values: Any
    ) -> Behaviour:
        behaviour = Behaviour(**values)
        module = make_module(version, rtx, behaviour)
        for name in ("tensorrt", "tensorrt_rtx"):
            self.monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
        self.monkeypatch.setitem(sys.modules, module.__name__, module)
        self.place(gpu)
        return behaviour

    def place(self, gpu: Gpu | None) -> None:
        """This GPU is here from now on."""
        place_gpu(self.monkeypatch, gpu)


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Doubles:
    """Doubles of TensorRT, by version."""
    return Doubles(monkeypatch)


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    """``files(folder)``: everything in it, to see that nothing has changed."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
