"""The tensors in a model's result, by their paths in the returned structure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, fx, nn

from edgeexit.errors import SpecError

SHOWN = 16  # names in a message
MOST_EXITS = 32
"""A tensor (M, N, K) or (N, M, K) may hold the logits of M exits; one with more rows, tokens."""
_EXIT = re.compile(r"(?P<path>.+?)(?P<images>\.:)?\.(?P<number>\d+)")


def named_results(value: Any, path: str = "") -> dict[str, Any]:
    """Return every tensor in a result by its path: ``0``, ``aux``, ``exits.2``.

    Lists and tuples count from 0; dictionaries, dataclasses and named tuples have names. Other
    values are omitted.
    """
    if isinstance(value, (Tensor, fx.Proxy)):
        return {path or "0": value}
    results: dict[str, Any] = {}
    for key, item in _items(value):
        results.update(named_results(item, f"{path}.{key}" if path else str(key)))
    return results


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, (list, tuple)):
        return list(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    return []


def stacked_results(results: Mapping[str, Any], batch: int) -> dict[str, Tensor]:
    """Return the possible logits of each exit in stacked results.

    For a result ``logits``, names are ``logits.1`` if it is (M, N, K), ``logits.:.1`` if (N, M, K).
    """
    exits: dict[str, Tensor] = {}
    for path, tensor in results.items():
        if not isinstance(tensor, Tensor) or tensor.ndim != 3:
            continue
        for dim, images in enumerate(("", ".:")):
            count = tensor.shape[dim]
            if tensor.shape[1 - dim] == batch and 1 < count <= MOST_EXITS:
                exits |= {f"{path}{images}.{n}": tensor.select(dim, n) for n in range(count)}
    return exits


def named_result(results: Mapping[str, Any], name: str) -> Any:
    """Return a result, or one exit of a stacked result; None if the name does not exist."""
    match = _EXIT.fullmatch(name)
    if name in results or match is None or match["path"] not in results:
        return results.get(name)
    return results[match["path"]].select(1 if match["images"] else 0, int(match["number"]))


@contextmanager
def giving(model: nn.Module, outputs: Sequence[str]) -> Iterator[None]:
    """Make ``model`` return a tuple of only the named results within the block.

    There, its ``forward`` takes only the images.

    Raises:
        SpecError: a named result is missing when the model runs.
    """
    forward = model.forward
    own = "forward" in vars(model)

    def giving_these(images: Tensor) -> tuple[Any, ...]:
        results = named_results(forward(images))
        chosen = _chosen(results, outputs)
        missing = [name for name, result in chosen.items() if result is None]
        if missing:
            mode = "training" if model.training else "evaluation"
            raise SpecError(
                f"{type(model).__name__} in {mode} mode: expected the output {missing[0]}, got "
                f"{', '.join(list(results)[:SHOWN]) or 'no tensors'}; give a model that returns "
                "every exit in either mode"
            )
        return tuple(chosen.values())

    model.forward = giving_these
    try:
        yield
    finally:
        if own:
            model.forward = forward
        else:
            vars(model).pop("forward", None)


def _chosen(results: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
    """Return the results of these names; None for a name that does not exist.

    In training mode they may be one level deeper, beside results that only a loss reads.
    """
    inside = {path.removesuffix(outputs[0]) for path in results if path.endswith(f".{outputs[0]}")}
    found = [{name: named_result(results, at + name) for name in outputs} for at in ("", *inside)]
    whole = [chosen for chosen in found if all(r is not None for r in chosen.values())]
    return whole[0] if len(whole) == 1 else found[0]
