"""Match weights to a model by name: prefixes of wrappers, other dtypes, a new classifier."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeexit.errors import CheckpointError, SpecError
from edgeexit.models.backbone import Backbone
from edgeexit.models.weights.files import CHOOSE, read_weights

COMPILED = "_orig_mod."
"""The prefix that torch.compile adds to the names inside a compiled module."""
COUNTER = "num_batches_tracked"
"""Batch norm's counter, missing in files from before torch 0.4.1; no result depends on it."""
FOREIGN = ("n_averaged", "total_ops", "total_params")
"""Counters that tools for averaging weights and counting MACs add to the weights."""
SHOWN = 3  # names in a message


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """The weights that were loaded into a backbone.

    Attributes:
        source: the origin of the weights, in a phrase.
        new: names of the backbone's weights that were missing or of another shape and were not
            changed, such as a classifier of other classes.
    """

    source: str
    new: tuple[str, ...]

    def __str__(self) -> str:
        left_out = f"; new, of another shape: {', '.join(self.new)}" if self.new else ""
        return self.source + left_out


def load_weights(
    weights: Mapping[str, Tensor],
    path: Path,
    *,
    what: str,
    key: str = "",
    new_classifier: bool = False,
) -> LoadedWeights:
    """Fill a model with the weights in a file, all of them or none.

    Args:
        weights: the model's weights, by the names expected in the file, see :func:`own_weights`;
            their values are changed.
        path: a file of torch or safetensors.
        what: the model's name in messages.
        key: which weights to use if the file holds several, see
            :func:`edgeexit.models.weights.files.read_weights`.
        new_classifier: layers with another number of classes keep their values.

    Raises:
        CheckpointError: the file cannot be read, or names or shapes differ; the message gives the
            first of each kind and the nearest match.
    """
    tensors, notes = read_weights(path, key)
    loaded = fit_weights(
        weights, tensors, path, what=what, new_classifier=new_classifier, notes=notes
    )
    return LoadedWeights(f"{path}: {loaded.source}", loaded.new)


def fit_weights(
    weights: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    what: str,
    new_classifier: bool = False,
    notes: tuple[str, ...] = (),
) -> LoadedWeights:
    """Fill a model as :func:`load_weights` does, with ``tensors`` that were read from ``path``.

    Raises:
        CheckpointError: names or shapes differ, as there.
    """
    theirs = {name.replace(COMPILED, ""): value for name, value in tensors.items()}
    removed, added = _prefixes(weights, theirs)
    fitting, left_out, unexpected = _renamed(weights, theirs, removed, added)
    new = _check(weights, fitting, unexpected, path, what, new_classifier)
    _check_values(fitting, path)
    converted = set()
    with torch.no_grad():
        for name, value in fitting.items():
            if name in new:
                continue
            if value.dtype != weights[name].dtype:
                converted.add(f"{_typed(value)} converted to {_typed(weights[name])}")
            weights[name].copy_(value)
    count = len(fitting.keys() - set(new))
    parts = [
        f"{count} of {len(weights)} tensors loaded",
        *notes,
        *([f"prefix `{removed}` removed"] if removed else []),
        *([f"prefix `{added}` added"] if added else []),
        *([f"{COMPILED.rstrip('.')} removed"] if theirs.keys() != tensors.keys() else []),
        *sorted(converted),
        *([_left_out(left_out, weights)] if left_out else []),
    ]
    return LoadedWeights(", ".join(parts), new)


def fill_backbone(backbone: Backbone, weights: Mapping[str, Tensor], source: str) -> LoadedWeights:
    """Fill ``backbone`` with every weight of the same name and shape.

    Args:
        backbone: the backbone, changed in place.
        weights: parameters and buffers by the names of ``backbone.state_dict``.
        source: the origin of the weights, in a phrase.

    Raises:
        SpecError: weights other than the classifier's do not fit.
    """
    own = backbone.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if name in own and value.shape == own[name].shape
    }
    new = tuple(name for name in own if name not in fitting)
    misfits = [name for name in new if not name.startswith("classifier.")]
    if misfits:
        raise SpecError(
            f"{source} does not fit the backbone: {misfits[0]} and {len(misfits) - 1} other "
            "weights are missing there or of another shape; start from the same backbone"
        )
    backbone.load_state_dict(fitting, strict=False)
    return LoadedWeights(source, new)


def own_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a model by name, without copying or detaching."""
    return dict(module.state_dict(keep_vars=True))


def _prefixes(weights: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[str, str]:
    """Return the prefix to remove from a file's names and that to add; one of them is empty."""
    removed, removed_count = _prefix(theirs, weights)
    added, added_count = _prefix(weights, theirs)
    return ("", added) if added_count > removed_count else (removed, "")


def _prefix(long: Iterable[str], short: Mapping[str, Tensor]) -> tuple[str, int]:
    """Return the prefix with which most names of ``short`` occur in ``long``, and how many do."""
    counts: Counter[str] = Counter()
    for name in long:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in short:
                counts[".".join([*parts[:cut], ""])] += 1
    best = min(counts, key=lambda prefix: (-counts[prefix], len(prefix)), default="")
    return best, counts[best]


def _renamed(
    weights: Mapping[str, Tensor], theirs: Mapping[str, Tensor], removed: str, added: str
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Return weights that fit by name, names without the prefix, and names the model lacks."""
    fitting: dict[str, Tensor] = {}
    left_out, unexpected = [], []
    for name, value in theirs.items():
        own = added + name.removeprefix(removed)
        if name.rpartition(".")[2] in FOREIGN and own not in weights:
            continue
        if not name.startswith(removed):
            left_out.append(name)
        elif own in weights:
            fitting[own] = value
        else:
            unexpected.append(name)
    return fitting, left_out, unexpected


def _check(
    weights: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
    unexpected: list[str],
    path: Path,
    what: str,
    new_classifier: bool,
) -> tuple[str, ...]:
    """Return the names of classifiers that keep their values; raise if anything else differs."""
    there = {id(weights[name]) for name in fitting}  # one tensor may have several names
    missing = [
        name
        for name, value in weights.items()
        if name not in fitting and id(value) not in there and not name.endswith(COUNTER)
    ]
    other = [name for name, value in fitting.items() if value.shape != weights[name].shape]
    kinds = [
        name
        for name, value in fitting.items()
        if value.is_floating_point() != weights[name].is_floating_point()
    ]
    wider = [
        name
        for name in other
        if weights[name].ndim and fitting[name].shape[1:] == weights[name].shape[1:]
    ]
    if new_classifier and len(wider) == len(other) < len(fitting) and not missing + unexpected:
        return tuple(other)
    problems = [
        _problem(missing, "missing", unexpected or fitting),
        _problem(unexpected, "not expected", missing or weights),
        _problem(kinds, "of another type", ()),
    ]
    if other:
        first = other[0]
        advice = ""
        if len(wider) == len(other):
            advice = ", --new-classifier starts a classifier of other classes from scratch"
        problems.append(
            f"{len(other)} of another shape, first {first}: expected "
            f"{tuple(weights[first].shape)}, got {tuple(fitting[first].shape)}{advice}"
        )
    if any(problems):
        raise CheckpointError(f"{path} does not fit {what}: {'; '.join(filter(None, problems))}")
    return ()


def _left_out(names: list[str], weights: Mapping[str, Tensor]) -> str:
    text = f"{len(names)} others left out ({_listed(names)})"
    prefix, count = _prefix(names, weights)  # a second set of the same weights, such as an average
    return text + (f"; {CHOOSE}, such as {prefix[:-1]}" if 2 * count >= len(weights) else "")


def _problem(names: list[str], how: str, others: Iterable[str]) -> str:
    if not names:
        return ""
    close = difflib.get_close_matches(names[0], list(others), n=1, cutoff=0.4)
    nearest = f" (nearest: {close[0]})" if close else ""
    return f"{len(names)} {how}, first {names[0]}{nearest}"


def _check_values(fitting: Mapping[str, Tensor], path: Path) -> None:
    for name, value in fitting.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(f"{path}: expected finite values in {name}, got NaN or infinity")


def _typed(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
