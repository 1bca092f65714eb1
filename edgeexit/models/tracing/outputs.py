"""Find the logits of the exits among the tensors that a model returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgeexit.errors import SpecError, did_you_mean
from edgeexit.models.tracing.checks import EVERY_EXIT, are_logits, check_kind, run_on_shapes
from edgeexit.models.tracing.results import named_results, stacked_results
from edgeexit.models.tracing.tracers import BATCHES

SHOWN = 16  # outputs in a message


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that a model returns in evaluation mode.

    Attributes:
        name: its path in the returned structure: ``0``, ``aux``, ``exits.2``; ``0.2`` or
            ``0.:.2`` for an exit in a tensor (M, N, K) or (N, M, K) of M exits.
        shape: for a batch of 2 images.
        dtype: such as ``float32``.
        is_logits: whether it is floating point of shape (N, K) for N images.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_logits: bool


def list_outputs(model: nn.Module, input_size: tuple[int, int, int]) -> list[Output]:
    """List what ``model`` returns for images ``(N, C, H, W)``; nothing is computed.

    Raises:
        SpecError: the model raises, or its outputs depend on the images' values.
    """
    check_kind(model)
    first, second = (
        named_results(run_on_shapes(model, input_size, batch, False, EVERY_EXIT))
        for batch in BATCHES
    )
    outputs = _outputs(first, second)
    if sum(output.is_logits for output in outputs) > 1:
        return outputs
    return outputs + _outputs(*map(stacked_results, (first, second), BATCHES))


def _outputs(first: dict[str, Any], second: dict[str, Any]) -> list[Output]:
    return [
        Output(
            name,
            tuple(value.shape),
            str(value.dtype).removeprefix("torch."),
            are_logits(value, BATCHES[0]) and are_logits(second.get(name), BATCHES[1]),
        )
        for name, value in first.items()
        if name in second
    ]


def choose_outputs(
    found: Sequence[Output], asked: Sequence[str], num_classes: int | None
) -> tuple[str, ...]:
    """Return the names of the exits' logits, in order.

    Args:
        found: the outputs of the model.
        asked: the names that the user gave; empty for all logits.
        num_classes: K; None if all logits have the same number of classes.

    Raises:
        SpecError: an output does not exist or is not logits, or there are fewer than two.
    """
    chosen = [_named(found, name) for name in asked] or [
        output for output in found if output.is_logits and num_classes in (None, output.shape[1])
    ]
    names = tuple(output.name for output in chosen)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SpecError(f"outputs: expected each once, got {twice[0]} twice")
    wrong = [output for output in chosen if not output.is_logits]
    if wrong:
        raise SpecError(
            f"outputs: expected logits (N, K) of N images, got {listed(wrong)} for 2; choose from "
            f"{listed([output for output in found if output.is_logits])}"
        )
    if len(chosen) < 2:
        raise SpecError(
            f"expected a model that returns the logits of 2 or more exits, got "
            f"{listed(found) or 'no tensors'}{EVERY_EXIT}"
        )
    widths = {output.shape[1] for output in chosen}
    if len(widths) > 1:
        raise SpecError(
            f"outputs: expected logits of the same classes, got {listed(chosen)}; name those "
            "of the exits"
        )
    return names


def listed(outputs: Sequence[Output]) -> str:
    """Return outputs with their shapes for a message: ``0 (2, 10), aux (2, 10)``."""
    shown = ", ".join(f"{output.name} {output.shape}" for output in outputs[:SHOWN])
    return shown + (", ..." if len(outputs) > SHOWN else "")


def _named(found: Sequence[Output], name: str) -> Output:
    names = [output.name for output in found]
    if name not in names:
        hint = did_you_mean(name, names, f"there are {listed(found)}")
        raise SpecError(f"outputs: the model returns no {name!r}; {hint}")
    return found[names.index(name)]
