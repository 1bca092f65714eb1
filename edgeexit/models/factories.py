"""Build models that the user names, from ``package.module:factory`` to an ``nn.Module``.

Only names that the user typed are imported. Callers never pass a name from a checkpoint.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from torch import nn

from edgeexit.errors import SpecError, did_you_mean
from edgeexit.models.tracing.user_code import explained

Factory = Callable[..., nn.Module]
"""Builds a model; called with ``num_classes`` if it has that parameter."""

ModelSource = nn.Module | Factory | str
"""A model, a factory, or the name of a factory: ``package.module:factory``."""

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(rf"({_DOTTED}):({_DOTTED})")


def import_factory(reference: str) -> Factory:
    """Import the factory ``reference``; the current folder is searched first, as for a script.

    Args:
        reference: ``package.module:factory``, such as ``torchvision.models:densenet121``, or
            ``my_models:make`` for a file ``my_models.py`` in the current folder. The factory is a
            function or a class, or an attribute of one: ``my_models:Net.small``.

    Raises:
        SpecError: the reference has another form, cannot be imported, or is not callable.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise SpecError(
            f"model {reference!r}: expected package.module:factory, such as "
            "torchvision.models:densenet121, or my_models:make for a file my_models.py here"
        )
    module_name, path = match.groups()
    value: object = _import_module(reference, module_name)
    for name in path.split("."):
        value = _attribute(reference, value, name)
    if isinstance(value, nn.Module):
        raise SpecError(
            f"model {reference!r}: expected a function or class that builds the network, got a "
            f"{type(value).__name__} that is built already; write a function that returns it"
        )
    if not callable(value):
        raise SpecError(
            f"model {reference!r}: expected a function or class that builds the network, got a "
            f"value of type {type(value).__name__}"
        )
    return value


def create_model(source: ModelSource, num_classes: int) -> nn.Module:
    """Return the model ``source``, or build it with the factory that ``source`` is or names.

    A factory is called with ``num_classes`` if its signature accepts it, else without arguments.
    :func:`edgeexit.attach_exits` checks whether the logits have that many classes.

    Raises:
        SpecError: the name cannot be imported, the factory raises, or it returns no module.
    """
    if isinstance(source, nn.Module):
        return source
    factory = import_factory(source) if isinstance(source, str) else source
    arguments = {"num_classes": num_classes} if _takes_num_classes(factory) else {}
    call = f"{_name(source)}({', '.join(f'{k}={v}' for k, v in arguments.items())})"
    with explained(f"{call} raised"):
        model: object = factory(**arguments)
    if not isinstance(model, nn.Module):
        raise SpecError(f"{call}: expected an nn.Module, got a {type(model).__name__}")
    if any(weight.is_meta for weight in model.parameters()):
        raise SpecError(
            f"{call}: expected weights with values, got some on the meta device; build it on the "
            "CPU"
        )
    return model


def model_option(backbone: str) -> str:
    """Return the command-line option for the model ``backbone``; it is not imported.

    The name may come from an untrusted file, so it is quoted for the shell.
    """
    if _REFERENCE.fullmatch(backbone) is None:
        return "--model package.module:factory"
    return f"--model {shlex.quote(backbone)}"


def _import_module(reference: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if sys.path[:1] not in ([here], [""]):
        sys.path.insert(0, here)  # permanently: the module may import its neighbors later
    importlib.invalidate_caches()  # the file may be newer than the cached folder listing
    with explained(f"model {reference!r}: importing {name} raised"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            hint = did_you_mean(name, _modules_here(), "is it installed?")
            raise SpecError(
                f"model {reference!r}: there is no module {error.name}, neither in the current "
                f"folder nor among the installed packages; {hint}"
            ) from error


def _modules_here() -> list[str]:
    files = [path.stem for path in Path.cwd().glob("*.py")]
    return files + [path.parent.name for path in Path.cwd().glob("*/__init__.py")]


def _attribute(reference: str, owner: object, name: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        known = [other for other in dir(owner) if not other.startswith("_")]
        hint = did_you_mean(name, known, "check the name")
        where = getattr(owner, "__name__", type(owner).__name__)
        raise SpecError(f"model {reference!r}: {where} has no {name}; {hint}") from error


def _takes_num_classes(factory: Factory) -> bool:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # written in C
        return False
    return any(
        parameter.kind is parameter.VAR_KEYWORD or parameter.name == "num_classes"
        for parameter in parameters
    )


def _name(source: Factory | str) -> str:
    if isinstance(source, str):
        return source
    name = getattr(source, "__qualname__", type(source).__qualname__)
    return f"{getattr(source, '__module__', '')}:{name}"
