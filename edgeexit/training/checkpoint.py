"""A checkpoint: a network and everything needed to use it, in one file that contains no code."""

from __future__ import annotations

import hashlib
import json
import math
import textwrap
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.schema import SchemaError, check_keys, decode, encode
from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.images.preprocess import Preprocessing
from edgeexit_runtime.system.untrusted import parse_json
from torch import Tensor

from edgeexit.data.config import DataConfig
from edgeexit.data.dataset import ImageData
from edgeexit.errors import CheckpointError, UnknownNameError
from edgeexit.models.factories import ModelSource, create_model, model_option
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.models.outputs import network_of
from edgeexit.models.spec import ModelSpec
from edgeexit.models.weights.files import SAFETENSORS
from edgeexit.plain_file import (
    foreign_file,
    open_plain,
    read_plain,
    write_plain,
)
from edgeexit.scores import SOFTMAX, check_score

FORMAT_VERSION = 5  # 1 had no temperatures, 2 no outputs, 3 no score, 4 no data.fingerprint
DEFAULT_THRESHOLD = 0.9
"""Initial threshold of every branch, until others are chosen."""

_FORMAT = "edgeexit checkpoint"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A trained network with its own description.

    Attributes:
        spec: the network's structure.
        weights: its parameters and buffers, by the names of ``MultiExitNet.state_dict``.
        preprocessing: how an image becomes an input.
        class_names: one per class, in order.
        thresholds: gamma per branch exit, a score; ``final`` has none.
        data: the training data's configuration.
        training: the training configuration, the epoch and versions; JSON values.
        metrics: validation results of that epoch; JSON values.
        temperatures: divisor of the logits per calibrated exit, see
            :mod:`edgeexit.evaluation.calibration`.
        guarantee: the guarantee found by ``tune``; the thresholds may have changed since.
        score: the confidence measure, see :mod:`edgeexit.scores`.
    """

    spec: ModelSpec
    weights: dict[str, Tensor]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    thresholds: dict[str, float]
    data: DataConfig
    training: dict[str, Any]
    metrics: dict[str, Any]
    temperatures: dict[str, float] = field(default_factory=dict)
    guarantee: Guarantee | None = None
    score: str = SOFTMAX

    def __post_init__(self) -> None:
        branches = self.spec.exit_names[:-1]
        check_keys("thresholds", self.thresholds, branches)
        if not all(0 <= value <= NEVER for value in self.thresholds.values()):
            raise ValueError(f"thresholds: expected 0 to {NEVER}, got {self.thresholds}")
        if not set(self.temperatures) <= set(self.spec.exit_names):
            raise ValueError(
                f"temperatures: expected exits of {list(self.spec.exit_names)}, got "
                f"{list(self.temperatures)}"
            )
        if not all(0 < value < math.inf for value in self.temperatures.values()):
            raise ValueError(f"temperatures: expected above 0, got {self.temperatures}")
        if self.guarantee is not None:
            check_keys("guarantee.thresholds", self.guarantee.thresholds, branches)
        check_score(self.score, self.spec.num_classes)
        if len(self.class_names) != self.spec.num_classes:
            raise ValueError(
                f"class_names: expected {self.spec.num_classes}, got {len(self.class_names)}"
            )
        if self.preprocessing.input_size != self.spec.input_size:
            raise ValueError(
                f"preprocessing.input_size: expected {self.spec.input_size}, got "
                f"{self.preprocessing.input_size}"
            )

    def with_score(self, score: str) -> Checkpoint:
        """Return the checkpoint with another score, without the guarantee of the previous one.

        Raises:
            UnknownNameError: no score has that name.
            ValueError: the network has one class.
        """
        return self if score == self.score else replace(self, score=score, guarantee=None)

    def build(self, model: ModelSource | None = None) -> MultiExitNet:
        """Return the network with these weights, in evaluation mode, on the CPU.

        Args:
            model: for a network whose backbone is not registered, the model that its exits were
                attached to: a module, which the network shares weights with, or a factory of one.
                A checkpoint contains no code and is not trusted, so it never causes an import.

        Raises:
            CheckpointError: the weights do not fit the network; ``model`` is missing or given
                for a registered backbone.
            UnknownNameError, SpecError: this version, or the model, cannot build the network.
        """
        net = self._registered_net() if model is None else self._attached_net(model)
        own = net.state_dict()
        weights = {  # copies: training the network must not change the checkpoint
            name: value.to(own.get(name, value).dtype, copy=True)
            for name, value in self.weights.items()
        }
        try:
            net.load_state_dict(weights, assign=model is None)
        except RuntimeError as error:  # one line per weight below the first
            first = (str(error).splitlines()[1:2] or [str(error)])[0]
            advice = "" if self.spec.is_registered else "give the model that it was made from, or "
            raise CheckpointError(
                f"the weights do not fit {self.spec.backbone} with branches {self.spec.pattern} "
                f"({textwrap.shorten(first, 160, placeholder=' ...')}); {advice}train it again"
            ) from error
        net.temperatures = dict(self.temperatures)
        net.score = self.score
        return net.eval()

    def _registered_net(self) -> MultiExitNet:
        name = self.spec.backbone
        if not self.spec.is_registered:
            raise CheckpointError(
                f"this network was made from {name}, whose code is not in the checkpoint: "
                f"name it again with {model_option(name)} (from Python: "
                "checkpoint.build(model=...))"
            )
        with torch.device("meta"):  # a file that describes a huge network must not allocate it
            return MultiExitNet(self.spec)

    def _attached_net(self, model: ModelSource) -> MultiExitNet:
        if self.spec.is_registered:
            raise CheckpointError(
                f"{self.spec.backbone} is a registered backbone, which needs no model: omit "
                "--model (from Python: checkpoint.build())"
            )
        # not on "meta": tensors that are not among the weights keep the model's values
        return network_of(create_model(model, self.spec.num_classes).cpu(), self.spec)


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint``, atomically.

    Raises:
        WriteError: the disk is full or the folder cannot be written to.
    """
    write_plain(Path(path), to_plain(checkpoint))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint. The file is not trusted: no code in it runs, every field is checked.

    Raises:
        CheckpointError: it is missing, truncated, of a newer format, or not a checkpoint.
    """
    path = Path(path)
    return from_plain(path, read_plain(path))


def is_checkpoint(path: Path) -> bool:
    """Whether a file was written by :func:`save_checkpoint`.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    opened = None if path.suffix == SAFETENSORS else open_plain(path)
    content = None if opened is None else opened[1]
    return isinstance(content, dict) and content.get("format") == _FORMAT


def checkpoint_of(net: MultiExitNet, data: ImageData, config: DataConfig) -> Checkpoint:
    """Return the checkpoint of a network, such as one that was trained elsewhere.

    Args:
        net: the network, for example from :func:`edgeexit.from_outputs`.
        data: supplies the class names and the preprocessing.
        config: the configuration that ``data`` was loaded with.

    Raises:
        ValueError: the network has other classes or another input size than ``data``.
    """
    return Checkpoint(
        spec=net.spec,
        weights=net.state_dict(),
        preprocessing=data.preprocessing,
        class_names=data.class_names,
        thresholds=dict.fromkeys(net.spec.exit_names[:-1], DEFAULT_THRESHOLD),
        data=replace(config, input_size=net.spec.input_size, fingerprint=data.fingerprint or None),
        training={},
        metrics={},
    )


def weights_digest(weights: Mapping[str, Tensor], about: str = "") -> str:
    """Return the SHA-256 of ``about`` and of all weights, by which a network is recognized."""
    digest = hashlib.sha256(about.encode())
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def to_plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the content of the file: JSON values, and tensors under ``weights``."""
    plain: dict[str, Any] = {"format": _FORMAT, "format_version": FORMAT_VERSION}
    for name in _described():
        plain[name] = encode(getattr(checkpoint, name))
    plain["weights"] = {
        # a copy, because a view would be stored with the whole storage behind it
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in checkpoint.weights.items()
    }
    return plain


def from_plain(path: Path, plain: Any) -> Checkpoint:
    """Return the checkpoint from the content of the file ``path``, with every field checked.

    Raises:
        CheckpointError: see :func:`load_checkpoint`.
    """
    if not isinstance(plain, dict) or plain.get("format") != _FORMAT:
        raise foreign_file(path)
    version = plain.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise CheckpointError(f"{path}: the checkpoint is damaged: no format version")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: made by a newer edgeexit (format {version}, this reads {FORMAT_VERSION}): "
            "upgrade edgeexit"
        )
    if version == 1:
        plain = {**plain, "temperatures": {}}
    if version <= 3:
        plain = {**plain, "score": SOFTMAX}
    try:
        kinds = _described()
        described = {name: decode(kind, plain.get(name), name) for name, kind in kinds.items()}
        # fields that are only passed through must be writable as JSON again
        parse_json(json.dumps({name: plain.get(name) for name in kinds}))
        return Checkpoint(weights=_checked_weights(plain.get("weights")), **described)
    except (TypeError, ValueError, UnknownNameError) as error:  # SchemaError is one
        raise CheckpointError(
            f"{path}: the checkpoint is damaged ({error}); train or copy it again"
        ) from error


def _checked_weights(weights: Any) -> dict[str, Tensor]:
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise SchemaError("weights: expected tensors by name")
    for name, value in weights.items():
        # a sum takes a tenth of the time of the full check, but may overflow for large values
        if not value.sum().isfinite() and not value.isfinite().all():
            raise SchemaError(f"weights.{name}: expected finite values, got NaN or infinity")
    return weights


def _described() -> dict[str, Any]:
    """Return the annotation of every field that is stored as JSON values."""
    hints = typing.get_type_hints(Checkpoint)
    return {f.name: hints[f.name] for f in fields(Checkpoint) if f.name != "weights"}
