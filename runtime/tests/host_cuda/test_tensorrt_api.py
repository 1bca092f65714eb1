"""The double against the real classes: what it has, and so what the runtime uses, is there.

The oldest TensorRT that is supported, JetPack 6.1's, has bindings of its own on PyPI. They ask for
nine functions of TensorRT's libraries when they are called, and for none to be looked at.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import importlib.util
import inspect
import re
import subprocess
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

import pytest
from host_driver import HostDriver
from tensorrt_double import World, make_module

# where the real bindings name their parameters otherwise, or take several kinds
RENAMED = {"create_execution_context"}


# what the bindings of TensorRT 10.3 name of its libraries
FUNCTIONS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL"),
    *("getBuilderPluginRegistry", "getNvOnnxParserVersion", "getPluginRegistry"),
    "initLibNvInferPlugins",
)


BUILDER_DOUBLE = Path(__file__).parents[1] / "engines" / "conftest.py"
# what engines/floating.py uses besides
FLOATING = {
    *(("ILayer", "name"), ("ILayer", "set_input"), ("IConstantLayer", "weights")),
    *(("INetworkDefinition", "add_constant"), ("ITensor", "shape")),
}


@functools.cache
def bindings() -> Any:
    """TensorRT 10.3's own module, over libraries that have the names of its functions alone."""
    found = importlib.util.find_spec("tensorrt_bindings")
    if found is None or found.origin is None:
        pytest.skip("tensorrt-cu12-bindings==10.3.0 is not installed")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "functions.c")
        source.write_text("".join(f"void *{one}(void) {{ return 0; }}\n" for one in FUNCTIONS))
        for library in ("libnvinfer.so.10", "libnvonnxparser.so.10", "libnvinfer_plugin.so.10"):
            options = ("-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", f"{name}/{library}")
            subprocess.run(["gcc", str(source), *options], check=True)
            ctypes.CDLL(f"{name}/{library}", mode=ctypes.RTLD_GLOBAL)
        path = str(Path(found.origin).with_name("tensorrt.so"))
        spec = importlib.util.spec_from_file_location("tensorrt", path)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        assert isinstance(spec.loader, ExtensionFileLoader)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def name(request: pytest.FixtureRequest) -> str:
    """The module's."""
    return str(request.param)


@pytest.fixture
def real(name: str) -> Any:
    return bindings() if name == "tensorrt" else pytest.importorskip("tensorrt_rtx")


def test_the_bindings_are_the_oldest_supported() -> None:
    """Not a newer one's, where the double must not do more than the oldest."""
    bindings()
    assert importlib.metadata.version("tensorrt-cu12-bindings").startswith("10.3.")


def public(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def test_every_attribute_of_the_double_is_one_of_the_real_one(
    real: Any, name: str, driver: HostDriver
) -> None:
    double = make_module(name, World(driver))
    compared = 0
    for title in public(double):
        thing, counterpart = getattr(double, title), getattr(real, title)
        attributes = public(thing)
        if title == "IRuntimeConfig":
            attributes += public(thing())
        for attribute in attributes:
            assert hasattr(counterpart, attribute), f"{title}.{attribute}"
            compared += 1
    for severity in public(double.ILogger.Severity):
        assert hasattr(real.ILogger.Severity, severity)
    assert compared > 35


def test_the_oldest_has_what_building_uses() -> None:
    real = bindings()
    spec = importlib.util.spec_from_file_location("builder_double", BUILDER_DOUBLE)
    assert spec is not None
    assert spec.loader is not None
    double = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = double  # where its dataclasses look up their annotations
    spec.loader.exec_module(double)
    used = double.attributes(double.make_module("10.3.0", False, double.Behaviour()))
    assert len(used) > 60
    missing = [
        pair for pair in sorted(used | FLOATING) if not hasattr(getattr(real, pair[0]), pair[1])
    ]
    assert missing == []


def test_methods_have_the_real_ones_parameters(real: Any, name: str, driver: HostDriver) -> None:
    double = make_module(name, World(driver))
    compared = 0
    for title in ("Runtime", "ICudaEngine", "IExecutionContext", "ILogger"):
        for attribute in public(getattr(double, title)):
            method = getattr(getattr(double, title), attribute)
            if not inspect.isfunction(method) or attribute in RENAMED:
                continue
            parameters = list(inspect.signature(method).parameters)
            documentation = getattr(getattr(real, title), attribute).__doc__
            overloads = [
                re.findall(r"(\w+): ", signature)
                for signature in re.findall(rf"{attribute}\((.*?)\) ->", documentation)
            ]
            assert parameters in overloads, f"{title}.{attribute}: {documentation}"
            compared += 1
    assert compared > 12


def test_contexts_are_made_from_a_configuration_where_there_is_one(real: Any, name: str) -> None:
    """The newer way to make a context, which the runtime takes where these are there."""
    is_newer = name == "tensorrt_rtx"
    assert hasattr(real, "DynamicShapesKernelSpecializationStrategy") == is_newer
    made = real.ICudaEngine.create_execution_context.__doc__
    assert ("runtime_config: " if is_newer else "strategy: ") in made
