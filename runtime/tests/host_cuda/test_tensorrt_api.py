"""The double against the real classes: what it has, and so what the runtime uses, is there."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from host_driver import HostDriver
from tensorrt_double import World, make_module

# where the real bindings name their parameters otherwise, or take several kinds
RENAMED = {"create_execution_context"}


@pytest.fixture(scope="module")
def real() -> Any:
    return pytest.importorskip("tensorrt_rtx")


def public(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


def test_every_attribute_of_the_double_is_one_of_the_real_one(
    real: Any, driver: HostDriver
) -> None:
    double = make_module("tensorrt_rtx", World(driver))
    compared = 0
    for name in public(double):
        thing, counterpart = getattr(double, name), getattr(real, name)
        attributes = public(thing)
        if name == "IRuntimeConfig":
            attributes += public(thing())
        for attribute in attributes:
            assert hasattr(counterpart, attribute), f"{name}.{attribute}"
            compared += 1
    for severity in public(double.ILogger.Severity):
        assert hasattr(real.ILogger.Severity, severity)
    assert compared >= 40


def test_methods_have_the_real_ones_parameters(real: Any, driver: HostDriver) -> None:
    double = make_module("tensorrt_rtx", World(driver))
    compared = 0
    for name in ("Runtime", "ICudaEngine", "IExecutionContext", "ILogger"):
        for attribute in public(getattr(double, name)):
            method = getattr(getattr(double, name), attribute)
            if not inspect.isfunction(method) or attribute in RENAMED:
                continue
            parameters = list(inspect.signature(method).parameters)
            documentation = getattr(getattr(real, name), attribute).__doc__
            overloads = [
                re.findall(r"(\w+): ", signature)
                for signature in re.findall(rf"{attribute}\((.*?)\) ->", documentation)
            ]
            assert parameters in overloads, f"{name}.{attribute}: {documentation}"
            compared += 1
    assert compared > 12


def test_contexts_are_made_from_a_configuration(real: Any) -> None:
    """The newer way to make a context, which the runtime takes where these are there."""
    assert hasattr(real, "DynamicShapesKernelSpecializationStrategy")
    assert "runtime_config: " in real.ICudaEngine.create_execution_context.__doc__
