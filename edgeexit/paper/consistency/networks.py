"""The networks of a study, and checks that they can be compared."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from edgeexit.errors import SpecError
from edgeexit.fitting import check_same
from edgeexit.models.attach import attach_spec
from edgeexit.models.factories import ModelSource, create_model
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.training.checkpoint import Checkpoint, weights_digest
from edgeexit.training.initial import fill_from_checkpoint

DIGITS = 16  # of a fingerprint, short enough for people to read


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """A network of a study; created by :func:`name_networks`.

    Attributes:
        name: its name in tables and pictures.
        checkpoint: the network's checkpoint.
        path: the checkpoint's file.
        fingerprint: digest of the network and its weights.
    """

    name: str
    checkpoint: Checkpoint
    path: Path
    fingerprint: str


def name_networks(paths: Sequence[Path], checkpoints: Sequence[Checkpoint]) -> list[TrainedNetwork]:
    """Return networks named by their branches, and by folder or path where these are equal.

    Raises:
        SpecError: two checkpoints hold the same network.
    """
    names = [checkpoint.spec.pattern for checkpoint in checkpoints]
    names = ["plain" if name == "none" else name for name in names]
    for extra in ([path.resolve().parent.name for path in paths], list(map(str, paths))):
        times = Counter(names)
        names = [
            f"{name} ({more})" if times[name] > 1 else name
            for name, more in zip(names, extra, strict=True)
        ]
    networks: dict[str, TrainedNetwork] = {}
    for name, checkpoint, path in zip(names, checkpoints, paths, strict=True):
        digest = fingerprint(checkpoint)
        if digest in networks:
            raise SpecError(
                f"{networks[digest].path} and {path} hold the same network: give it once"
            )
        networks[digest] = TrainedNetwork(name, checkpoint, path, digest)
    return list(networks.values())


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return a digest of the network and its weights, which does not depend on thresholds."""
    return weights_digest(checkpoint.weights, repr(checkpoint.spec))[:DIGITS]


def check_comparable(
    baseline: TrainedNetwork, networks: Sequence[TrainedNetwork], *, same_folder: bool = True
) -> None:
    """Raise SpecError or DataError if a network was not trained on the same data as the baseline.

    Args:
        same_folder: whether the images must come from the same folder.
    """
    ours, advice = baseline.checkpoint, "train both alike"
    for network in networks:
        theirs = network.checkpoint
        who = f"the baseline {baseline.path} and {network.path} cannot be compared"
        structure = (
            ("backbone", ours.spec.backbone, theirs.spec.backbone),
            ("input size", str(ours.spec.input_size), str(theirs.spec.input_size)),
        )
        data = (
            ("data set", ours.data.name, theirs.data.name),
            ("held-out images per class", ours.data.hold_out, theirs.data.hold_out),
            ("classes", ours.class_names, theirs.class_names),
            ("preprocessing", ours.preprocessing, theirs.preprocessing),
        )
        check_same(who, advice, structure, SpecError)
        check_same(who, advice, data)
        if same_folder:
            folders = (ours.data.data_dir, theirs.data.data_dir)
            check_same(who, advice, (("folder of images", *folders),))


def build_network(network: TrainedNetwork, model: ModelSource | None) -> MultiExitNet:
    """Return the network of a checkpoint; ``model`` is needed for a network of the user's code.

    Raises:
        CheckpointError, SpecError: see :meth:`edgeexit.training.Checkpoint.build`.
    """
    if isinstance(model, nn.Module):
        model = copy.deepcopy(model)  # so that no two networks share weights
    return network.checkpoint.build(model).requires_grad_(False)


def build_baseline(
    baseline: TrainedNetwork, points: tuple[str, ...], model: ModelSource | None
) -> MultiExitNet:
    """Return the baseline; a network of the user's code is cut into stages at ``points``.

    Any branches of such a network are omitted.

    Raises:
        CheckpointError, SpecError: see :func:`build_network`.
    """
    checkpoint = baseline.checkpoint
    if model is None or checkpoint.spec.is_registered or checkpoint.spec.points == points:
        return build_network(baseline, model)
    spec = replace(checkpoint.spec, exits=(), points=points)
    if isinstance(model, nn.Module):
        model = copy.deepcopy(model)
    net = attach_spec(create_model(model, spec.num_classes).cpu(), spec)
    filled = fill_from_checkpoint(net, checkpoint, str(baseline.path))
    if filled.new:
        raise SpecError(
            f"{baseline.path} does not fit the model: {filled.new[0]} is missing there or has "
            "another shape; give the model that it was made from"
        )
    return net.eval().requires_grad_(False)
