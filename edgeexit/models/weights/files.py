"""Read weights from files that other programs wrote, without running code from them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeexit.errors import CheckpointError
from edgeexit.plain_file import PLAIN_NAMES, stored_pickle

SAFETENSORS = ".safetensors"
SHOWN = 3  # names in a message
MAX_DEPTH = 3
CHOOSE = "choose with --weights-key"

HARMLESS_NAMES = {
    *PLAIN_NAMES,
    *("torch._utils _rebuild_parameter", "torch Size", "torch device", "argparse Namespace"),
    *("collections defaultdict", "collections Counter", "builtins set", "_codecs encode"),
    *("torch float32", "torch float16", "torch bfloat16", "torch float64", "torch int64"),
}
"""Globals that training loops store beside tensors and torch loads without running code."""

USUAL_KEYS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"),
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
)
"""Keys under which programs store weights, in the order in which they are searched."""


FoundWeights = tuple[dict[str, Tensor], tuple[str, ...]]
"""The tensors of a file by name, on the CPU in its dtypes, and remarks on where they were found."""


def read_weights(path: Path, key: str = "") -> FoundWeights:
    """Read the weights from a file of torch or safetensors.

    They are at the top level or under ``state_dict``, ``model`` and the like. Only tensors and
    plain values are unpickled.

    Args:
        path: the file.
        key: which weights to use if the file holds several: the path to them, ``state_dict_ema``
            or ``ema.module``, or a prefix of their names, ``teacher``; empty for the usual keys.

    Raises:
        CheckpointError: the file is missing or damaged, contains code, has no weights or none for
            that key, or is a safetensors file and that library is not installed.
    """
    if path.suffix == SAFETENSORS:
        return _chosen({"": _read_safetensors(path)}, key, path)
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
        sets = _weight_sets(content)
        if not sets:
            names = list(content) if isinstance(content, Mapping) else [type(content).__name__]
            raise CheckpointError(
                f"{path}: expected weights by name, got {', '.join(map(str, names[:SHOWN]))}; save "
                "model.state_dict(), or that under 'state_dict'"
            )
        tensors, notes = _chosen(sets, key, path)
        return stored.copied(tensors), notes
    except CheckpointError:
        raise
    except Exception as error:  # torch and its unpickler raise many types
        raise CheckpointError(
            f"{path}: the weights cannot be read; save them again: "
            "torch.save(model.state_dict(), ...)"
        ) from error


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
    except Exception as error:  # the library's own errors have no public base class
        raise CheckpointError(
            f"{path}: not a file of safetensors, or damaged; copy it again"
        ) from error
    return tensors


def _weight_sets(content: Any) -> dict[str, dict[str, Tensor]]:
    """Return all tensors of a file by name, grouped by the path of their dictionary."""
    sets: dict[str, dict[str, Tensor]] = {}
    seen: set[int] = set()  # a damaged file may contain a cycle

    def look(value: Any, where: tuple[str, ...]) -> None:
        if not isinstance(value, Mapping) or id(value) in seen or len(where) > MAX_DEPTH:
            return
        seen.add(id(value))
        if tensors := {str(name): item for name, item in value.items() if isinstance(item, Tensor)}:
            sets[".".join(where)] = tensors
        for name, item in value.items():
            if isinstance(name, str):  # the state of optimizers has numbers as keys
                look(item, (*where, name))

    look(content, ())
    return sets


def _chosen(sets: Mapping[str, dict[str, Tensor]], key: str, path: Path) -> FoundWeights:
    """Return the weights of ``key``, or those under the first of the usual keys."""
    found = _of_key(sets, key) if key else sets
    ranks = {where: _rank(where.removeprefix(key)) for where in found}
    usual = [where for where in found if ranks[where][0] <= len(USUAL_KEYS)]
    candidates = usual or _large(found)
    if not usual and len(candidates) != 1:
        what = f"no weights by the key {key!r}" if not found else "several weights"
        raise CheckpointError(f"{path}: {what}; it holds {_listed(sets, _large(sets))}; {CHOOSE}")
    where = min(candidates, key=lambda where: ranks[where])
    notes = [f"taken from `{where}`"] if where else []
    others = [name for name in _large(sets) if name != where]
    if others:
        notes.append(f"the file also holds {_listed(sets, others)}; {CHOOSE}")
    return found[where], tuple(notes)


def _of_key(sets: Mapping[str, dict[str, Tensor]], key: str) -> dict[str, dict[str, Tensor]]:
    """Return the tensors under ``key``, or else those whose names begin with it."""
    for form in ("{where}.{name}", "{name}"):
        found = {
            where: {
                name: value
                for name, value in tensors.items()
                if form.format(where=where, name=name).startswith(f"{key}.")
            }
            for where, tensors in sets.items()
        }
        if any(found.values()):
            return {where: tensors for where, tensors in found.items() if tensors}
    return {}


def _rank(where: str) -> tuple[int, ...]:
    """Return a sort key for paths: usual names first, the innermost of these before others."""
    last = len(USUAL_KEYS)
    names = where.strip(".").split(".") if where else []
    ranks = [USUAL_KEYS.index(name) if name in USUAL_KEYS else last + 1 for name in names]
    return (*ranks, last)


def _large(sets: Mapping[str, dict[str, Tensor]]) -> list[str]:
    """Return the paths with enough tensors to be weights and not a few settings."""
    most = max(map(len, sets.values()), default=0)
    return [where for where, tensors in sets.items() if 2 * len(tensors) >= most]


def _listed(sets: Mapping[str, dict[str, Tensor]], places: list[str]) -> str:
    shown = [
        f"`{where}` ({len(sets[where])} tensors)"
        if where
        else f"{len(sets[where])} tensors, first {next(iter(sets[where]))}"
        for where in places[:SHOWN]
    ]
    return ", ".join(shown) + (", ..." if len(places) > SHOWN else "")
