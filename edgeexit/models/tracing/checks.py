"""Check that a model can be traced, by inspection and by running it on fake tensors."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edgeexit.errors import SpecError
from edgeexit.models.mode import in_mode, shapes_alone
from edgeexit.models.tracing.results import named_results, stacked_results
from edgeexit.models.tracing.tracers import BATCHES, first_device
from edgeexit.models.tracing.user_code import explained

SHOWN = 3  # names in a message
EVERY_EXIT = "; give a module that returns every exit, and leaves the choice to thresholds"
"""Advice for a model that chooses an exit itself, depending on values."""


def check_kind(model: nn.Module) -> None:
    """Reject models that the tracers cannot handle, and weights that are not in FP32.

    Raises:
        SpecError: the model is of such a kind, needs more than the images, or raised.
    """
    name = type(model).__name__
    with explained(f"{name} cannot be inspected:"):
        _check_weights(model, name)
        instead = None
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            instead = "its .module"
        elif isinstance(model, torch.jit.ScriptModule):
            instead = "the module that was scripted"
        elif hasattr(model, "_orig_mod"):
            instead = "the model before torch.compile"
        if instead is not None:
            raise SpecError(f"{name} cannot be cut: expected a plain model, give {instead}")
        needed = [
            parameter.name
            for parameter in inspect.signature(model.forward).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        if len(needed) > 1:
            raise SpecError(
                f"{name}: expected a model that reads only the images, got one that needs "
                f"{', '.join(needed)}; give the others a default, or wrap the model in one that "
                "passes them"
            )


def _check_weights(model: nn.Module, name: str) -> None:
    lazy = [
        weight_name
        for weight_name, weight in (*model.named_parameters(), *model.named_buffers())
        if is_lazy(weight)
    ]
    if lazy:
        raise SpecError(
            f"{name}: {', '.join(lazy[:SHOWN])} of lazy layers have no size yet; give the layers "
            "their sizes, or let the factory run the model once on images of zeros"
        )
    dtypes = {weight.dtype for weight in model.parameters()} - {torch.float32}
    if dtypes:
        found = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise SpecError(f"{name}: expected weights in float32, got {found}; call model.float()")


def run_on_shapes(
    model: nn.Module, input_size: tuple[int, int, int], batch: int, training: bool, advice: str = ""
) -> Any:
    """Run a model on fake images, which have no values; return its result in fake tensors.

    Raises:
        SpecError: the model raised; the message names the line of code and ends with ``advice``.
    """
    with (
        explained(
            f"{type(model).__name__} cannot be run on {batch} images of {input_size} without "
            "their values:",
            f"; check input_size, and that no step depends on the images' values or number{advice}",
        ),
        in_mode(model, training),
        unchanged(model),
        shapes_alone(),
        torch.no_grad(),
    ):
        return model(torch.empty(batch, *input_size, device=first_device(model)))


def check_model(
    model: nn.Module, input_size: tuple[int, int, int], training: bool, outputs: Sequence[str]
) -> None:
    """Raise SpecError if a model does not return the logits of each image."""
    name = type(model).__name__
    mode = "training" if training else "evaluation"
    advice = EVERY_EXIT if outputs else ""
    for batch in BATCHES:
        result = run_on_shapes(model, input_size, batch, training, advice)
        named = named_results(result)
        wrong = [path for path, tensor in named.items() if not are_logits(tensor, batch)]
        if outputs and wrong:
            raise SpecError(
                f"{name} in {mode} mode: expected logits (N, K) for N images as the output "
                f"{outputs[int(wrong[0])]}, got {described(named[wrong[0]])} for {batch}"
            )
        if not outputs and not are_logits(result, batch):
            raise SpecError(
                f"{name} in {mode} mode: expected one tensor of logits (N, K) for N images, got "
                f"{described(result)} for {batch}; {_instead(named, batch)}"
            )


def _instead(results: Mapping[str, Any], batch: int) -> str:
    """Return advice for a model that does not return one tensor of logits."""
    paths = [path for path, tensor in results.items() if are_logits(tensor, batch)]
    wrap = "wrap the model in one that returns the logits of every image"
    if len(paths) < 2:
        if not stacked_results(results, batch):
            features = [isinstance(value, Tensor) and value.ndim > 2 for value in results.values()]
            is_encoder = bool(features) and all(features)
            first = "build it with its classifier" if is_encoder else "turn auxiliary outputs off"
            return f"{first}, or {wrap}"
        paths = ["auto"]
    return (
        f"keep its own exits with --outputs {','.join(paths)} (from Python: "
        f"edgeexit.from_outputs), or {wrap}"
    )


def are_logits(value: Any, batch: int) -> bool:
    """Whether a value has the shape and type of logits (N, K) of ``batch`` images."""
    return (
        isinstance(value, Tensor)
        and value.ndim == 2
        and len(value) == batch
        and value.dtype.is_floating_point
    )


def described(value: Any) -> str:
    """Return the dtype and shape of a tensor, or the type of another value."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Restore what tracing changes in a model: buffer values, and attributes set in forward."""
    values = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    attributes = [(m, dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    try:
        yield
    finally:
        for module, kept, buffers in attributes:
            vars(module).clear()
            vars(module).update(kept)
            module._buffers.clear()
            module._buffers.update(buffers)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)
