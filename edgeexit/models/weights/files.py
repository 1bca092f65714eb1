"""Weights as they come: files that other programs wrote, read without running code of theirs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeexit.errors import CheckpointError
from edgeexit.plain_file import PLAIN_NAMES, stored_pickle

SAFETENSORS = ".safetensors"
SHOWN = 3  # names in a message
MAX_DEPTH = 3

HARMLESS_NAMES = {
    *PLAIN_NAMES,
    *("torch._utils _rebuild_parameter", "torch Size", "torch device", "argparse Namespace"),
    *("collections defaultdict", "collections Counter", "builtins set", "_codecs encode"),
    *("torch float32", "torch float16", "torch bfloat16", "torch float64", "torch int64"),
}
"""What a training loop stores beside its tensors, and torch reads without running anything."""

WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
)
"""Under which names programs keep the weights, in the order in which they are looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundWeights:
    """The tensors of a file by name.

    Attributes:
        tensors: each in the type of the file, on the CPU.
        notes: what there is to say of where they lay in it.
    """

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_weights(path: Path) -> FoundWeights:
    """Read the weights in a file of torch's or of safetensors'.

    They are the file itself, or lie under ``state_dict``, ``model`` and the like. Nothing but
    tensors and plain values is unpickled.

    Raises:
        CheckpointError: the file is missing, damaged, holds code or no weights, or is of
            safetensors and that library is not installed.
    """
    if path.suffix == SAFETENSORS:
        return FoundWeights(_read_safetensors(path))
    stored = stored_pickle(path)
    if stored is None:
        raise CheckpointError(
            f"{path}: expected weights as torch.save (torch 1.6 or newer) or safetensors writes "
            "them; load the file with what wrote it, and torch.save(model.state_dict(), ...)"
        )
    code = sorted(name.replace(" ", ".") for name in stored.names - HARMLESS_NAMES)
    if code:
        raise CheckpointError(
            f"{path}: holds code ({', '.join(code[:SHOWN])}), which is not run; load it where "
            "that code is, and save the weights alone: torch.save(model.state_dict(), ...)"
        )
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        where, found, others = _find(content)
        tensors = stored.copied(found)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # torch and its unpickler raise many kinds
        raise CheckpointError(
            f"{path}: the weights cannot be read; save them again: "
            "torch.save(model.state_dict(), ...)"
        ) from error
    notes = [f"taken from `{where}`"] if where else []
    if others:
        notes.append(f"not from `{'`, `'.join(others)}`")
    return FoundWeights(tensors, tuple(notes))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise CheckpointError(
            f"{path}: safetensors is not installed: pip install 'edgeexit[safetensors]'"
        ) from error
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: could not read the weights ({error})") from error
    except Exception as error:  # the library's own have no base that it names
        raise CheckpointError(
            f"{path}: not a file of safetensors, or damaged; copy it again"
        ) from error
    return tensors


def _find(content: Any, depth: int = 0) -> tuple[str, dict[str, Tensor], tuple[str, ...]]:
    """Return where the weights are, the weights, and where there are others."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"expected weights by name, got a {type(content).__name__}; save model.state_dict()"
        )
    wrappers = [
        name for name in WRAPPERS if isinstance(content.get(name), Mapping) and content[name]
    ]
    if wrappers and depth < MAX_DEPTH:
        name, *others = wrappers
        where, found, _ = _find(content[name], depth + 1)
        return f"{name}.{where}" if where else name, found, tuple(others)
    found = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not found:
        names = ", ".join(map(str, list(content)[:SHOWN])) or "nothing"
        raise CheckpointError(
            f"no weights by name in it, but {names}; save model.state_dict(), or that under "
            "'state_dict'"
        )
    return "", found, ()
